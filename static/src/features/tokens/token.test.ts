import { describe, expect, it } from 'vitest'
import { stateOf } from './token'

describe('the state of a key', () => {
  const at = Date.parse('2026-01-02T00:00:00Z')
  const key = { enabled: true, expires_at: null, revoked_at: null }

  it.each([
    [key, 'active'],
    [{ ...key, enabled: false }, 'disabled'],
    [{ ...key, expires_at: '2026-01-03T00:00:00Z' }, 'active'],
    [{ ...key, expires_at: '2026-01-02T00:00:00Z' }, 'expired'],
    [{ ...key, enabled: false, expires_at: '2026-01-01T00:00:00Z' }, 'expired'],
    [{ ...key, expires_at: '2026-01-01T00:00:00Z', revoked_at: '2025-12-01T00:00:00Z' }, 'revoked'],
  ])('%o is %s', (token, state) => expect(stateOf(token, at)).toBe(state))
})
