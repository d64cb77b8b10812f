import { describe, expect, it } from 'vitest'
import { presets } from '@/kit/useTimeRange'
import { deletionOf, leftBehind } from './deleting'

const now = Date.parse('2026-03-15T18:30:00Z')

describe('a deletion', () => {
  it('begins with what the list shows, its range included', () => {
    expect(deletionOf({ range: '24h', user: 'anna' }, now, 'UTC')).toEqual({
      user: 'anna',
      from: '2026-03-14T18:30:00.000Z',
    })
    expect(deletionOf({ from: '2026-01-01', to: '2026-02-01', token_id: 'tok_1', tenant_id: '' }, now, 'UTC')).toEqual({
      token_id: 'tok_1',
      from: '2026-01-01',
      to: '2026-02-01',
    })
    for (const range of presets) expect(deletionOf({ range }, now, 'UTC').from, range).toMatch(/^\d{4}-.*Z$/)
  })
  it('names what it does not take along', () => {
    const query = { range: '7d', user: 'anna', q: 'invoice', app: 'crm', model: 'm', conversation_id: 't-1' }
    expect(leftBehind(query, now, 'UTC')).toEqual(['q', 'app', 'model', 'conversation_id'])
    expect(deletionOf(query, now, 'UTC')).toEqual({ user: 'anna', from: '2026-03-08T18:30:00.000Z' })
    expect(leftBehind({ range: '7d', user: 'anna', q: '' }, now, 'UTC')).toEqual([])
    expect(leftBehind({ range: '2w' }, now, 'UTC')).toEqual(['range'])
  })
})
