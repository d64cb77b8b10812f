import { describe, expect, it } from 'vitest'
import { exportOf, selectionMax } from './exporting'

describe('an export', () => {
  it('takes the filter, the question beside it, and the range as times', () => {
    const body = exportOf('jsonl', { user: 'anna', q: 'invoice', from: '2026-01-01', to: '2026-02-01' }, 'UTC')
    expect(body).toEqual({
      format: 'jsonl',
      filter: { user: 'anna' },
      q: 'invoice',
      from: '2026-01-01',
      to: '2026-02-01',
    })
    expect(exportOf('json', { user: 'anna' }, 'UTC')).not.toHaveProperty('q')
    expect(exportOf('json', { range: '7d' }, 'UTC').from).toMatch(/^\d{4}-.*Z$/)
  })
  it('takes a selection alone, as far as the server does', () => {
    const ids = Array.from({ length: selectionMax + 5 }, (_, at) => String(at))
    const body = exportOf('openai', { user: 'anna', range: '7d' }, 'UTC', ids)
    expect(body).toEqual({ format: 'openai', ids: ids.slice(0, selectionMax) })
  })
})
