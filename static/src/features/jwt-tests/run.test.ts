import { describe, expect, it } from 'vitest'
import { again, compared, creation, distribution, emptyDraft, lines, type Run, type Summary, toneOf } from './run'

const summary = (more: Partial<Summary>): Summary => ({
  done: 10,
  ok: 9,
  failed: 1,
  duration_ms: 100,
  per_second: 100,
  failures: [],
  distribution: [],
  ...more,
})
const step = (p50_us: number) => ({
  count: 10,
  failed: 0,
  mean_us: p50_us,
  p50_us,
  p95_us: p50_us,
  p99_us: p50_us,
  max_us: p50_us,
})

describe('a run', () => {
  it('is asked for with what belongs to its call', () => {
    const draft = { ...emptyDraft(), issuer_id: 'iss_1', model: ' gpt-4o ' }
    expect(creation(draft)).toEqual({ issuer_id: 'iss_1', count: 100, concurrency: 10, call: 'none' })
    expect(creation({ ...draft, call: 'chat', token: ' ey ' })).toMatchObject({ model: 'gpt-4o', token: 'ey' })
  })
  it('is asked for again without the token that was given', () => {
    const run = { issuer_id: 'iss_1', count: 5, concurrency: 2, call: 'chat', model: 'm' } as Run
    expect(again(run)).toEqual({ issuer_id: 'iss_1', count: 5, concurrency: 2, call: 'chat', model: 'm', token: '' })
  })
})

describe('how long tokens took', () => {
  const one = summary({
    distribution: [
      { below_us: 10, issue: 5, verify: 0, call: 0 },
      { below_us: 50, issue: 0, verify: 5, call: 0 },
    ],
  })
  const other = summary({ distribution: [{ below_us: 20, issue: 0, verify: 4, call: 0 }] })
  it('is drawn by step, or by run', () => {
    expect(distribution(one).ends).toEqual([10, 50])
    expect(distribution(one).of('verify')).toEqual([0, 5])
    expect(distribution(null).ends).toEqual([])
    expect(compared(one, other, 'verify')).toEqual({ ends: [20, 50], one: [0, 5], other: [4, 0] })
  })
  it('is compared where both know it', () => {
    const slow = summary({ verify: step(200), ok: 10 })
    const fast = summary({ verify: step(100) })
    const found = lines(slow, fast)
    const of = (key: string) => found.find((it) => it.key === key)!
    expect(of('verify.p50')).toMatchObject({ one: 200, other: 100, change: 1 })
    expect(toneOf(of('verify.p50'))).toBe('bad')
    expect(toneOf(of('ok'))).toBe('ok')
    expect(toneOf(of('perSecond'))).toBe('idle')
    expect(found.some((it) => it.key.startsWith('call'))).toBe(false)
    expect(lines(slow, null).every((it) => it.change === null)).toBe(true)
  })
})
