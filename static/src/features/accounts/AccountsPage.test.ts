import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Asked, button, json, mounted, play, press, type } from '@/testing'
import AccountsPage from './AccountsPage.vue'

/** Tests of accounts that were not answered yet, by account. */
const tests = new Map<string, (answer: object) => void>()
let made = 0
let asked: Asked[]
beforeEach(() => {
  tests.clear()
  made = 0
  asked = play(({ line, body, path }) => {
    if (line === 'POST /api/v1/accounts') return json({ ...body, id: `acc_${++made}` }, 201)
    if (path.endsWith('/test'))
      return new Promise((go) => tests.set(path.split('/')[4]!, (answer) => go(json({ latency_ms: 1, ...answer }))))
    return line.startsWith('GET /api/v1/accounts?') ? json({ items: [] }) : undefined
  })
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
const value = (field: string) => document.querySelector<HTMLInputElement>(`[name="${field}"]`)!.value
async function choose(preset: string) {
  const select = document.querySelector<HTMLSelectElement>('[name=preset]')!
  select.value = preset
  select.dispatchEvent(new Event('change'))
  await flushPromises()
}
async function submit() {
  document.querySelector('form')!.dispatchEvent(new Event('submit', { cancelable: true }))
  await flushPromises()
}
const said = () => document.body.textContent!

describe('adding an account', () => {
  it('sends the key to the provider that was chosen, also from a form that was closed and opened again', async () => {
    const { wrapper } = await mounted(AccountsPage, { address: '/accounts' })
    await press('Add account')
    expect([value('preset'), value('base_url')]).toEqual(['openai', 'https://api.openai.com/v1'])
    await choose('anthropic')
    await type('name', 'claude')
    await type('api_key', 'sk-ant-1')
    await press('Cancel')
    await vi.waitFor(() => expect(button('Cancel')).toBeUndefined())
    await press('Add account')
    expect([value('preset'), value('protocol'), value('name')]).toEqual(['anthropic', 'anthropic', 'claude'])
    await submit()
    expect(asked.find(({ line }) => line.startsWith('POST'))!.body).toMatchObject({
      provider: 'anthropic',
      protocol: 'anthropic',
      base_url: 'https://api.anthropic.com',
      api_key: 'sk-ant-1',
    })
    wrapper.unmount()
  })

  it('of no preset begins empty, and stays that way', async () => {
    const { wrapper } = await mounted(AccountsPage, { address: '/accounts?new=1' })
    await choose('other')
    expect([value('preset'), value('provider'), value('base_url')]).toEqual(['other', '', ''])
    await type('provider', 'house')
    expect(value('preset')).toBe('other')
    wrapper.unmount()
  })

  it('shows the answer of this account, and never of the one before', async () => {
    const { wrapper, router } = await mounted(AccountsPage, { address: '/accounts?new=1' })
    await type('name', 'first')
    await submit()
    await vi.waitFor(() => expect([...tests.keys()]).toEqual(['acc_1']))
    button('Close')!.click()
    await vi.waitFor(() => expect(router.currentRoute.value.params.id).toBe('acc_1'))
    await router.push('/accounts?new=1')
    await flushPromises()
    await type('name', 'second')
    await submit()
    await vi.waitFor(() => expect([...tests.keys()]).toEqual(['acc_1', 'acc_2']))
    tests.get('acc_1')!({ ok: false, message: 'of the first' })
    await flushPromises()
    expect(said()).not.toContain('of the first')
    tests.get('acc_2')!({ ok: false, message: 'of the second' })
    await vi.waitFor(() => expect(said()).toContain('of the second'))
    wrapper.unmount()
  })
})

it('a closed form is no place to come back to', async () => {
  const { wrapper, router } = await mounted(AccountsPage, { address: '/accounts' })
  await press('Add account')
  await vi.waitFor(() => expect(router.currentRoute.value.query.new).toBe('1'))
  await press('Cancel')
  await vi.waitFor(() => expect(router.currentRoute.value.query.new).toBeUndefined())
  router.back()
  await flushPromises()
  expect(router.currentRoute.value.fullPath).toBe('/accounts')
  wrapper.unmount()
})
