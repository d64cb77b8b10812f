import { describe, expect, it } from 'vitest'
import list from '../../config/prices.toml?raw'
import { clients, named, offers, snippet, type Upstream } from './calling'
import { presets } from './providers'

const account = (more: Partial<Upstream> = {}): Upstream => ({
  provider: 'openai',
  protocol: 'openai',
  enabled: true,
  models: ['*'],
  aliases: null,
  ...more,
})
const claude = account({ provider: 'anthropic', protocol: 'anthropic' })

describe('code that calls with a key', () => {
  const both = (['openai', 'anthropic'] as const).flatMap((protocol) =>
    clients.map(({ value }) => [protocol, value] as const),
  )
  it.each(both)('%s by %s names the address, the key and the model', (protocol, client) => {
    const code = snippet(protocol, client, 'http://gateway:8080', 'sk-stw-abc', 'gpt-4o')
    for (const part of ['sk-stw-abc', 'gpt-4o', 'http://gateway:8080']) expect(code).toContain(part)
  })

  it('gives each SDK the base URL it wants', () => {
    expect(snippet('openai', 'python', 'http://h', 'k', 'm')).toContain('base_url="http://h/v1"')
    expect(snippet('openai', 'node', 'http://h', 'k', 'm')).toContain('baseURL: "http://h/v1"')
    expect(snippet('anthropic', 'python', 'http://h', 'k', 'm')).toContain('base_url="http://h"')
    expect(snippet('anthropic', 'node', 'http://h', 'k', 'm')).toContain('baseURL: "http://h"')
  })

  it.each(['openai', 'anthropic'] as const)('sends curl a body that is JSON (%s)', (protocol) => {
    const code = snippet(protocol, 'curl', 'http://h', 'k', `qwen/3"max's`)
    const body = JSON.parse((/-d '(.*)'$/.exec(code)?.[1] ?? '').replaceAll(`'\\''`, "'"))
    expect(body.model).toBe(`qwen/3"max's`)
    // Messages of Anthropic must say how long they may become.
    expect(body.max_tokens !== undefined).toBe(protocol === 'anthropic')
  })
})

describe('what an example calls', () => {
  it.each(presets)('of $provider alone: its protocol, and a model that it has', (preset) => {
    const [offer, ...others] = offers([account({ provider: preset.provider, protocol: preset.protocol })])
    expect(others).toEqual([])
    expect(offer).toMatchObject({ protocol: preset.protocol, model: preset.model, models: null })
    // What others serve, or what was installed, is on no provider's list.
    if (['openrouter', 'ollama', 'vllm'].includes(preset.provider)) return
    const priced = list.split(`[providers.${preset.provider}.models]`)[1]?.split('\n[')[0]
    expect(priced).toContain(`\n"${preset.model}" = `)
  })

  it('is one that the first account names, unless it takes what its provider is asked for most', () => {
    expect(offers([account({ provider: 'deepseek' }), account()])[0]!.model).toBe('deepseek-v4-flash')
    expect(offers([account({ models: ['text-embedding-3-small', 'gpt-4.1', 'gpt-4o'] })])).toEqual([
      { protocol: 'openai', model: 'gpt-4.1', models: ['gpt-4.1', 'gpt-4o', 'text-embedding-3-small'], ask: null },
    ])
    expect(offers([account({ models: ['gpt-*'], aliases: { fast: 'gpt-4o' } })])[0]).toEqual({
      protocol: 'openai',
      model: 'gpt-4o-mini',
      models: ['fast', 'gpt-4o-mini'],
      ask: null,
    })
    expect(offers([account({ provider: 'house', models: ['*', 'o3'] })])[0]!.model).toBe('gpt-4o-mini')
  })

  it('is told for every protocol that an account in service speaks, and for both while there is none', () => {
    const protocols = (accounts: Upstream[], allowed?: string[]) =>
      offers(accounts, allowed).map(({ protocol }) => protocol)
    expect(protocols([claude])).toEqual(['anthropic'])
    expect(protocols([claude, account({ enabled: false })])).toEqual(['anthropic'])
    expect(protocols([account(), claude])).toEqual(['openai', 'anthropic'])
    expect(protocols([])).toEqual(['openai', 'anthropic'])
    expect(protocols([account({ models: ['gpt-4o'] }), claude], ['claude-*'])).toEqual(['anthropic'])
  })

  it('is asked for where only the account itself knows what it has', () => {
    const ask = (more: Partial<Upstream>, allowed?: string[]) =>
      offers([account({ id: 'acc_1', ...more })], allowed)[0]!.ask
    expect(ask({ provider: 'ollama' })).toBe('acc_1')
    expect(ask({ provider: 'house' })).toBe('acc_1')
    expect(ask({ provider: 'openai' })).toBeNull()
    expect(ask({ provider: 'house', models: ['gpt-4o-mini'] })).toBeNull()
    expect(ask({ provider: 'house' }, ['o3'])).toBeNull()
  })

  it('is one that the key may call', () => {
    expect(offers([account()], ['o3', 'gpt-4.1*'])).toEqual([
      { protocol: 'openai', model: 'o3', models: ['o3'], ask: null },
    ])
    expect(offers([account({ models: ['gpt-4o', 'o3'] })], ['gpt-*'])[0]!.models).toEqual(['gpt-4o'])
    expect(offers([account({ models: ['gpt-4o'] })], ['o3'])[0]!.model).toBe('o3')
  })
})

it('names of models leave out how names begin, and accounts out of service', () =>
  expect(
    named([
      account({ models: ['*', 'o3', 'gpt-*'], aliases: { fast: 'x' } }),
      account({ models: ['gone'], enabled: false }),
    ]),
  ).toEqual(['fast', 'o3']))
