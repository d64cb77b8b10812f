import { describe, expect, it } from 'vitest'
import { beginningOf, exportOf, selectionMax } from './exporting'

describe('an export', () => {
  it('takes the filter without the question, and the range as times', () => {
    const body = exportOf('jsonl', { user: 'anna', q: 'invoice', from: '2026-01-01', to: '2026-02-01' })
    expect(body).toEqual({ format: 'jsonl', filter: { user: 'anna' }, from: '2026-01-01', to: '2026-02-01' })
    expect(exportOf('json', { range: '7d' }).from).toMatch(/^\d{4}-.*Z$/)
  })
  it('takes a selection alone, as far as the server does', () => {
    const ids = Array.from({ length: selectionMax + 5 }, (_, at) => String(at))
    const body = exportOf('openai', { user: 'anna', range: '7d' }, ids)
    expect(body).toEqual({ format: 'openai', ids: ids.slice(0, selectionMax) })
  })
  it('knows when a range begins', () => {
    const now = Date.parse('2026-03-15T18:30:00Z')
    expect(beginningOf('24h', now)).toBe('2026-03-14T18:30:00.000Z')
    expect(beginningOf('other', now)).toBeUndefined()
  })
})
