import { describe, expect, it } from 'vitest'
import { type Plan, planChanges, planDraft, type RemoteState, remoteChanges, remoteDraft, stateOf } from './backup'

const none = { plan: null, newest: null, last_drill: null, age_s: null, key_id: 'key_1' }
const plan: Plan = {
  kind: 'folder',
  place: '/backups',
  enabled: true,
  interval_s: 7_200,
  keep_last: 1,
  keep_daily: 2,
  keep_weekly: 3,
  keep_monthly: 4,
  drill: false,
  next_at: null,
  updated_at: '2026-03-01T00:00:00.000Z',
  version: 3,
}

describe('where backups go, in a form', () => {
  it('is a folder with its path, and hours instead of seconds', () => {
    const draft = planDraft({ ...none, plan })
    expect(draft).toMatchObject({ kind: 'folder', path: '/backups', interval_h: 2, drill: false })
    expect(planChanges({ ...draft, interval_h: 1.5 })).toEqual({
      kind: 'folder',
      path: '/backups',
      enabled: true,
      interval_s: 5_400,
      keep_last: 1,
      keep_daily: 2,
      keep_weekly: 3,
      keep_monthly: 4,
      drill: false,
    })
  })
  it('is a bucket of which only what was typed is sent', () => {
    const draft = { ...planDraft(none), kind: 'bucket', bucket: ' b ', path: '/ignored' }
    const sent = planChanges(draft)
    expect(sent).toMatchObject({ kind: 'bucket', bucket: 'b' })
    for (const field of ['path', 'endpoint', 'secret_key', 'prefix']) expect(sent).not.toHaveProperty(field)
  })
  it('takes a word it does not know for none that ended well', () => {
    expect([stateOf('complete'), stateOf('vanished')]).toEqual(['complete', 'failed'])
  })
})

describe('the remote, in a form', () => {
  const state: RemoteState = { remote: null, waiting: 0, lag_ms: 0, refused: [], table_sql: '' }
  it('keeps address and key unless they are typed', () => {
    expect(remoteChanges(remoteDraft(state))).toEqual({
      kind: 'postgrest',
      table: 'dashboard_stats',
      interval_s: 3_600,
      keep_days: 30,
      enabled: true,
    })
  })
  it('sends a key to PostgREST only', () => {
    const typed = { ...remoteDraft(state), url: ' https://x ', key: ' k ' }
    expect(remoteChanges(typed)).toMatchObject({ url: 'https://x', key: 'k' })
    expect(remoteChanges({ ...typed, kind: 'postgres' })).not.toHaveProperty('key')
  })
})
