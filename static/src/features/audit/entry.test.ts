import { describe, expect, it } from 'vitest'
import { targetPage, toldBy } from './entry'

describe('an audit entry', () => {
  it('gathers the changed fields, and what is told beside them', () => {
    const details = { rpm: [60, 120], models: [['a'], ['a', 'b']], api_key: 'replaced' }
    expect(toldBy({ action: 'accounts.update', details })).toEqual({
      change: { before: { rpm: 60, models: ['a'] }, after: { rpm: 120, models: ['a', 'b'] } },
      rest: { api_key: 'replaced' },
    })
  })
  it.each(['tenants.suspend', 'prompts.label', 'operators.reset_password'])('is a change by %s too', (action) =>
    expect(toldBy({ action, details: { state: ['a', 'b'] } }).change).toEqual({
      before: { state: 'a' },
      after: { state: 'b' },
    }),
  )
  it.each([
    ['roles.create', { name: 'support', permissions: ['read:logs', 'read:tokens'] }],
    ['alert_rules.replace', { rules: [{ name: 'a' }, { name: 'b' }], removed: [] }],
    ['supervision.restart', { outcome: 'restarted' }],
  ])('is no change where two are two (%s)', (action, details) =>
    expect(toldBy({ action, details })).toEqual({ change: null, rest: details }),
  )
  it('is a change told as before and after, also from nothing', () => {
    const [before, after, valid_from] = [{ input: '1' }, { input: '2' }, '2026-01-01T00:00:00Z']
    expect(toldBy({ action: 'prices.set', details: { before, after, valid_from } })).toEqual({
      change: { before, after },
      rest: { valid_from },
    })
    expect(toldBy({ action: 'prices.set', details: { before: null, after } }).change).toEqual({ before: null, after })
  })
  it('knows where its target is shown', () => {
    expect(targetPage({ target_type: 'actor', target_id: 'root/ledger' })).toBe('/supervision/root/ledger')
    expect(targetPage({ target_type: 'operator', target_id: 'opr_1' })).toBe('/operators/opr_1')
    expect(targetPage({ target_type: 'qa_pair', target_id: 'qa_1' })).toBe('/knowledge/qa_1')
    expect(targetPage({ target_type: 'jwt_issuer', target_id: 'iss_1' })).toBe('/jwt-issuers?issuer=iss_1')
    expect(targetPage({ target_type: 'alert_rule', target_id: 'alr_1' })).toBe('/alerts?tab=rules&rule=alr_1')
    expect(targetPage({ target_type: 'silence', target_id: 'sil_1' })).toBe('/alerts?tab=silences&silence=sil_1')
    expect(targetPage({ target_type: 'redaction_rule', target_id: 'red_1' })).toBe('/redaction-rules/red_1')
    expect(targetPage({ target_type: 'alert_rule', target_id: '' })).toBe('/alerts?tab=rules')
    expect(targetPage({ target_type: 'notice', target_id: 'msg_1' })).toBe('/channels')
    expect(targetPage({ target_type: 'session', target_id: 'ses_1' })).toBeNull()
    expect(targetPage({ target_type: 'token', target_id: '' })).toBeNull()
  })
})
