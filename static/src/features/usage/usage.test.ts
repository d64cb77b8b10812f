import { describe, expect, it } from 'vitest'
import {
  daysBefore,
  filterOf,
  hasHours,
  type Item,
  narrowed,
  rankedBy,
  rankedUnder,
  rowsOf,
  sameFilter,
  sorted,
} from './rows'
import { againstSeries, partSeries, type Point } from './series'

const item = (
  name: string,
  provider: string | null,
  request_count: number,
  share: number,
  cost: string | null = null,
) =>
  ({
    key: provider ? `${provider}/${name}` : name,
    id: null,
    name,
    provider,
    request_count,
    error_count: request_count / 10,
    success_rate: 0.9,
    total_tokens: request_count * 100,
    p95_duration_ms: 1_000,
    cost,
    currency: 'USD',
    unpriced_count: cost === null ? request_count : 0,
    share,
  }) as Item
const now = {
  items: [item('gpt', 'openai', 60, 0.6), item('qwen', 'dashscope', 30, 0.3), item('o', 'openai', 10, 0.1)],
}

describe('rows', () => {
  it('tell how a share moved, and nothing against a time without calls', () => {
    const rows = rowsOf(now, { items: [item('gpt', 'openai', 5, 0.5)] })
    expect(rows.map((row) => [row.name, row.shareBefore, row.requestsBefore])).toEqual([
      ['gpt', 0.5, 5],
      ['qwen', 0, 0],
      ['o', 0, 0],
    ])
    expect(rowsOf(now, { items: [] })[0]?.shareBefore).toBeNull()
    expect(rowsOf(now, undefined)[0]?.shareBefore).toBeNull()
  })

  it('without a price have no cost, which is not nothing', () => {
    const [free, unknown] = rowsOf({ items: [item('a', null, 1, 0.5, '0'), item('b', null, 1, 0.5)] }, undefined)
    expect(free?.cost).toMatchObject({ total: { amount: '0', currency: 'USD' }, unpriced: 0 })
    expect(unknown?.cost).toMatchObject({ total: null, unpriced: 1 })
  })

  it('are sorted either way, what is unknown last', () => {
    const rows = rowsOf(now, undefined).map((row) => (row.name === 'qwen' ? { ...row, p95: null } : row))
    const names = (sort: string) => sorted(rows, sort).map((row) => row.name)
    expect(names('requests')).toEqual(['o', 'qwen', 'gpt'])
    expect(names('-name')).toEqual(['qwen', 'o', 'gpt'])
    expect(names('-p95').at(-1)).toBe('qwen')
    expect(names('p95').at(-1)).toBe('qwen')
    expect(names('no such column')).toEqual(['o', 'qwen', 'gpt'])
    expect(['-cost', 'cost', '-name', '-tokens'].map(rankedBy)).toEqual(['cost', 'requests', 'requests', 'tokens'])
  })

  it('are sorted by cost as numbers, not as words, what has no price last', () => {
    const costs = { items: [item('a', null, 1, 0.3, '9'), item('b', null, 1, 0.3), item('c', null, 1, 0.3, '10')] }
    const names = (sort: string) => sorted(rowsOf(costs, undefined), sort).map((row) => row.name)
    expect(names('-cost')).toEqual(['c', 'a', 'b'])
    expect(names('cost')).toEqual(['a', 'c', 'b'])
  })
})

describe('a filter', () => {
  it('is exactly what a row stands for', () => {
    const row = { id: 'tok_1', name: 'shop', provider: 'openai' }
    expect(filterOf('model', row)).toEqual({ provider: 'openai', model: 'shop' })
    expect(filterOf('provider', { ...row, name: 'openai' })).toEqual({ provider: 'openai' })
    expect(filterOf('token', row)).toEqual({ token_id: 'tok_1' })
    expect(filterOf('app', row)).toEqual({ app: 'shop' })
    expect(filterOf('tenant', { ...row, id: null, name: '' })).toBeNull()
  })
  it('keeps beside a new one what numbers are kept for together', () => {
    const filter = { provider: 'openai', model: 'gpt' }
    expect(narrowed(filter, { model: 'o3' })).toEqual({ provider: 'openai', model: 'o3' })
    expect(narrowed(filter, { token_id: 'tok_1' })).toEqual({ model: 'gpt', token_id: 'tok_1' })
    expect(narrowed(filter, { app: 'shop' })).toEqual({ app: 'shop' })
    expect(narrowed({ token_id: 'a', mode: 'api' }, { user: 'ann' })).toEqual({ mode: 'api', user: 'ann' })
    expect(narrowed({}, { provider: 'a', model: 'b' })).toEqual({ provider: 'a', model: 'b' })
  })
  it('narrows the ranking of a group where numbers are kept for both, and is not the group itself', () => {
    expect(rankedUnder('token', { model: 'gpt' })).toEqual({ model: 'gpt' })
    expect(rankedUnder('token', { model: 'gpt', token_id: 'tok_1' })).toEqual({ model: 'gpt' })
    expect(rankedUnder('model', { provider: 'openai', model: 'gpt' })).toEqual({})
    expect(rankedUnder('tenant', { model: 'gpt' })).toEqual({})
    expect(rankedUnder('user', { mode: 'web' })).toEqual({ mode: 'web' })
  })
  it('has hours when it is of models, or of keys and not long ago', () => {
    const day = 86_400_000
    const hours = (filter: object, daysAgo: number) => hasHours(filter, 0, daysAgo * day)
    expect([{}, { model: 'gpt' }].map((filter) => hours(filter, 400))).toEqual([true, true])
    expect([hours({ token_id: 'tok_1' }, 7), hours({ token_id: 'tok_1' }, 60)]).toEqual([true, false])
    expect([{ app: 'shop' }, { tenant_id: 't' }, { user: 'ann' }].map((filter) => hours(filter, 1))).toEqual([
      false,
      false,
      false,
    ])
  })
  it('is the same in any order', () => {
    expect(sameFilter({ model: 'a', provider: 'b' }, { provider: 'b', model: 'a' })).toBe(true)
    expect(sameFilter({ model: 'a' }, { provider: 'b', model: 'a' })).toBe(false)
    expect(sameFilter(null, {})).toBe(false)
  })
})

it('compares with as many whole days, also when a clock was changed among them', () => {
  const march = daysBefore({ from: '2026-03-29T23:00:00.000Z', to: '2026-03-31T22:00:00.000Z' })
  expect(march.to).toBe('2026-03-29T23:00:00.000Z')
  expect(Date.parse(march.from)).toBeGreaterThan(Date.parse('2026-03-27T23:00:00.000Z'))
  expect(Date.parse(march.from)).toBeLessThan(Date.parse('2026-03-28T23:00:00.000Z'))
})

describe('series', () => {
  const point = (at: string, request_count: number, cost: string | null = null, p95: number | null = null) =>
    ({ at, request_count, cost, p95_duration_ms: p95, total_tokens: 0, error_count: 0 }) as Point
  const whole = [point('a', 10), point('b', 5)]

  it('put what the parts leave beside them', () => {
    const parts = [{ key: 'row', name: 'x', points: [point('b', 2), point('a', 10)] }]
    const series = partSeries('requests', whole, parts, 'rest')
    // What a part stands for can be chosen; the rest stands for nothing that could.
    expect(series.map((one) => one.key)).toEqual(['row', undefined])
    expect(series.map((one) => [one.name, one.values])).toEqual([
      ['x', [10, 2]],
      ['rest', [0, 3]],
    ])
  })
  it('have no rest when there is none, and never one below nothing', () => {
    const parts = [{ name: 'x', points: [point('a', 11), point('b', 5)] }]
    expect(partSeries('requests', whole, parts, 'rest').map((one) => one.name)).toEqual(['x'])
  })
  it('do not stack percentiles', () => {
    const slow = [point('a', 1, null, 900)]
    const series = partSeries('latency', slow, [{ name: 'x', points: slow }], 'rest')
    expect(series).toEqual([{ name: 'x', colour: 'series-1', values: [900] }])
  })
  it('leave a gap where there is no price', () => {
    const costs = [point('a', 3, null), point('b', 3, '1.5')]
    expect(partSeries('cost', costs, [], 'rest')).toMatchObject([{ name: 'rest', values: [null, 1.5] }])
  })
  it('lay the period before under this one, bucket by bucket', () => {
    const [current, before] = againstSeries('requests', whole, [point('y', 7)], { now: 'now', before: 'before' })
    expect(current?.values).toEqual([10, 5])
    expect(before).toMatchObject({ values: [7, null], dashed: true })
  })
})
