import { describe, expect, it } from 'vitest'
import { changeOf, targetPage } from './entry'

describe('an audit entry', () => {
  it('gathers the changed fields', () => {
    expect(changeOf({ rpm: [60, 120], models: [['a'], ['a', 'b']], outcome: 'x' })).toEqual({
      before: { rpm: 60, models: ['a'] },
      after: { rpm: 120, models: ['a', 'b'] },
    })
  })
  it('is no change without sides', () => expect(changeOf({ outcome: 'restarted' })).toBeNull())
  it('knows where its target is shown', () => {
    expect(targetPage({ target_type: 'actor', target_id: 'root/ledger' })).toBe('/supervision/root/ledger')
    expect(targetPage({ target_type: 'session', target_id: 'ses_1' })).toBeNull()
    expect(targetPage({ target_type: 'token', target_id: '' })).toBeNull()
  })
})
