import { describe, expect, it } from 'vitest'
import { clients, snippet, stateOf } from './token'

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

describe('code that calls with a key', () => {
  it.each(clients.map((client) => client.value))('%s names the address, the key and the model', (client) => {
    const code = snippet(client, 'http://gateway:8080', 'sk-stw-abc', 'gpt-4o')
    expect(code).toContain('sk-stw-abc')
    expect(code).toContain('gpt-4o')
    expect(code).toContain('http://gateway:8080')
  })

  it('gives each SDK the base URL it wants', () => {
    expect(snippet('python', 'http://h', 'k', 'm')).toContain('base_url="http://h/v1"')
    expect(snippet('anthropic', 'http://h', 'k', 'm')).toContain('base_url="http://h"')
  })

  it('sends curl a body that is JSON', () => {
    const body = /-d '(.*)'$/.exec(snippet('curl', 'http://h', 'k', 'qwen/3"max'))?.[1]
    expect(JSON.parse(body ?? '').model).toBe('qwen/3"max')
  })
})
