// What is undone is undone where it was done, whatever is open by then.
import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Component } from 'vue'
import { toast } from '@/kit'
import { button, json, mounted, play, press, records } from '@/testing'
import AccountDrawer from './accounts/AccountDrawer.vue'
import JwtIssuersPage from './jwt-issuers/JwtIssuersPage.vue'
import PromptPage from './prompts/PromptPage.vue'
import TokenDrawer from './tokens/TokenDrawer.vue'

let undo: (() => unknown) | undefined
const failed = vi.fn()
beforeEach(() => {
  undo = undefined
  vi.spyOn(toast, 'undo').mockImplementation((_, work) => void (undo = work))
  vi.spyOn(toast, 'failed').mockImplementation(failed)
  failed.mockReset()
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})

const shared = { enabled: true, created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z' }
const key = {
  ...shared,
  prefix: 'sk',
  last4: 'abcd',
  total_requests: 0,
  total_tokens_used: 0,
  redaction: 'redact',
  budget_currency: 'USD',
  enable_conversation_logging: false,
  knowledge: false,
}
const breaker = { state: 'closed', consecutive_failures: 0, opened: 0, bad_credential: false }
const account = {
  ...shared,
  provider: 'p',
  protocol: 'openai',
  base_url: 'http://p',
  models: ['*'],
  aliases: {},
  priority: 0,
  weight: 1,
  in_flight: 0,
  breaker,
}

describe.each<[string, string, Component, typeof shared, string]>([
  ['a key', '/api/v1/tokens', TokenDrawer, key, 'Disable'],
  ['an account', '/api/v1/accounts', AccountDrawer, account, 'Drain'],
])('turning %s off', (_, root, drawer, row, off) => {
  const props = { id: 'a' }
  const two = () => records(root, { ...row, id: 'a', name: 'first' }, { ...row, id: 'b', name: 'second' })
  const enabled = (all: ReturnType<typeof two>) => ['a', 'b'].map((id) => all.of(id).enabled)

  it.each(['b', null])('is undone where it was done (then open: %s)', async (then) => {
    const all = two()
    play((asked) => all.server(asked))
    const { wrapper } = await mounted(drawer, { props })
    await press(off)
    await vi.waitFor(() => expect(enabled(all)).toEqual([false, true]))
    await wrapper.setProps({ id: then })
    await flushPromises()
    await undo!()
    expect(enabled(all)).toEqual([true, true])
    expect(failed).not.toHaveBeenCalled()
    wrapper.unmount()
  })

  it('is told when somebody else was faster', async () => {
    const all = two()
    play((asked) => {
      if (asked.line.startsWith('PATCH')) all.change('a', {})
      return all.server(asked)
    })
    const { wrapper } = await mounted(drawer, { props })
    await press(off)
    await vi.waitFor(() => expect(failed).toHaveBeenCalledWith(expect.objectContaining({ status: 412 })))
    wrapper.unmount()
  })

  it('leaves no question open for the next one', async () => {
    const all = two()
    play((asked) => all.server(asked))
    const { wrapper } = await mounted(drawer, { props })
    await press('Edit')
    await vi.waitFor(() => expect(button('Save')).toBeDefined())
    await wrapper.setProps({ id: 'b' })
    await vi.waitFor(() => expect(button('Save')).toBeUndefined())
    wrapper.unmount()
  })
})

it('turning an issuer off is undone where it was done, after j', async () => {
  const issuer = { ...shared, kind: 'secret', issuer: 'https://i', audience: 'a', keys: [], token_id: null }
  const all = records(
    '/api/v1/jwt-issuers',
    { ...issuer, id: 'a', name: 'first' },
    { ...issuer, id: 'b', name: 'second' },
  )
  play((asked) => all.server(asked))
  const { wrapper, router } = await mounted(JwtIssuersPage, { address: '/jwt-issuers?issuer=a' })
  await press('Turn off')
  await vi.waitFor(() => expect(all.of('a').enabled).toBe(false))
  document.dispatchEvent(new KeyboardEvent('keydown', { key: 'j' }))
  await vi.waitFor(() => expect(router.currentRoute.value.query.issuer).toBe('b'))
  await undo!()
  expect([all.of('a').enabled, all.of('b').enabled]).toEqual([true, true])
  wrapper.unmount()
})

describe('a prompt', () => {
  const version = {
    number: 1,
    model: null,
    parameters: {},
    messages: [],
    parent: null,
    restores: null,
    author: 'a',
    created_at: shared.created_at,
    hash: 'h',
  }
  const prompt = { ...shared, description: '', head: 2, version: 1, chain_holds: true, labels: { live: 1 } }
  async function page() {
    const all = records(
      '/api/v1/prompts',
      { ...prompt, id: 'a', name: 'first' },
      { ...prompt, id: 'b', name: 'second' },
    )
    const asked = play((one) => {
      if (one.path.endsWith('/versions')) return json({ items: [version] })
      return /rollback$|labels/.test(one.path) ? json({}) : all.server(one)
    })
    const changes = () => asked.filter((one) => !one.line.startsWith('GET')).map(({ line, body }) => [line, body])
    return { changes, ...(await mounted(PromptPage, { address: '/prompts/a?v=1' })) }
  }

  it('that was rolled back is the one that goes forward again', async () => {
    const { wrapper, router, changes } = await page()
    await press('Bring back v1')
    await vi.waitFor(() => expect(document.querySelector('[role=dialog]')).not.toBeNull())
    document.querySelector('[role=dialog] form')!.dispatchEvent(new Event('submit', { cancelable: true }))
    await vi.waitFor(() => expect(undo).toBeDefined())
    await router.push('/prompts/b')
    await flushPromises()
    await undo!()
    expect(changes()).toEqual([
      ['POST /api/v1/prompts/a/rollback', { version: 1, message: '' }],
      ['POST /api/v1/prompts/a/rollback', { version: 2, message: '' }],
    ])
    expect(router.currentRoute.value.fullPath).toBe('/prompts/b')
    wrapper.unmount()
  })

  it('that lost a label is the one that gets it back', async () => {
    const { wrapper, router, changes } = await page()
    await press('Remove live')
    await vi.waitFor(() => expect(undo).toBeDefined())
    await router.push('/prompts/b')
    await flushPromises()
    await undo!()
    expect(changes()).toEqual([
      ['DELETE /api/v1/prompts/a/labels/live', {}],
      ['PUT /api/v1/prompts/a/labels/live', { version: 1 }],
    ])
    wrapper.unmount()
  })
})
