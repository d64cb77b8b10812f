import { describe, expect, it } from 'vitest'
import { clients, clientsFor, offered, snippet, stateOf } from './token'

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

describe('what can be called', () => {
  const account = { protocol: 'openai', enabled: true, models: ['*', 'o3'], aliases: { fast: 'gpt-4o-mini' } }
  const names = (accounts: Parameters<typeof offered>[0]) => clientsFor(offered(accounts)).map((one) => one.value)

  it('is by protocol, without the star, with aliases, and only of accounts in service', () => {
    const drained = { ...account, enabled: false, models: ['gone'] }
    const claude = { ...account, protocol: 'anthropic', models: ['claude'], aliases: null }
    expect(offered([account, drained, claude])).toEqual([
      { protocol: 'openai', models: ['fast', 'o3'] },
      { protocol: 'anthropic', models: ['claude'] },
    ])
  })

  it('shows examples that reach an account, and all while there is none', () => {
    expect(names([account])).toEqual(['curl', 'python', 'node'])
    expect(names([{ ...account, protocol: 'anthropic' }])).toEqual(['anthropic'])
    expect(names([])).toEqual(clients.map((one) => one.value))
  })
})
