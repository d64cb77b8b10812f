import { describe, expect, it } from 'vitest'
import { changes, creation, draftOf, emptyDraft, type Report, shown } from './report'

const report = {
  id: 'rep_1',
  name: 'weekly',
  range: 'last_week',
  time_zone: 'Asia/Shanghai',
  filters: { model: 'gpt-4o' },
  group_by: 'token',
  sort: 'cost',
  limit: 20,
  columns: ['request_count', 'cost'],
  currency: 'CNY',
  language: 'zh-CN',
  schedule: { every: 'month', at: '07:05', weekday: null, day: 31 },
  channel_id: 'chn_1',
  enabled: true,
  version: 3,
} as unknown as Report

describe('a report from a form', () => {
  it('says everything once', () => {
    const draft = { ...emptyDraft('Asia/Shanghai'), name: ' daily ', columns: ['cost', 'request_count'] }
    expect(creation(draft)).toEqual({
      name: 'daily',
      range: '7d',
      time_zone: 'Asia/Shanghai',
      group_by: 'model',
      sort: 'requests',
      limit: 100,
      columns: ['request_count', 'cost'],
      language: 'en',
      filters: {},
      schedule: null,
      channel_id: null,
      enabled: true,
    })
  })
  it('reads what is stored, and changes nothing of it by itself', () => {
    const draft = draftOf(report)
    expect(draft).toMatchObject({ range: 'last_week', every: 'month', day: 31, at: '07:05', currency: 'CNY' })
    expect(changes(draft, draftOf(report))).toEqual({})
  })
  it('changes only what was changed', () => {
    const before = draftOf(report)
    expect(changes(before, { ...before, every: 'week', weekday: '5' })).toEqual({
      schedule: { every: 'week', at: '07:05', weekday: 5 },
    })
    expect(changes(before, { ...before, every: 'never', currency: '', channel_id: '' })).toEqual({
      schedule: null,
      currency: null,
      channel_id: null,
    })
    expect(changes(before, { ...before, range: 'other', written: ' 14d ' })).toEqual({ range: '14d' })
    expect(changes(before, { ...before, filters: { ...before.filters, model: '' } })).toEqual({ filters: {} })
  })
  it('writes a range of its own as it is', () => {
    const draft = draftOf({ ...report, range: '2026-01-01..2026-01-31' })
    expect(draft).toMatchObject({ range: 'other', written: '2026-01-01..2026-01-31' })
  })
})

it('shows numbers with their units', () => {
  expect(shown('request_count', 1234, 'USD')).toBe('1,234')
  expect(shown('success_rate', 0.9876, 'USD')).toContain('98.76')
  expect(shown('cost', '1.5', 'CNY')).toContain('1.5')
  expect(shown('p95_duration_ms', null, 'USD')).toBe('–')
})
