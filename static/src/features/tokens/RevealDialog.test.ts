import { flushPromises } from '@vue/test-utils'
import { afterEach, expect, it, vi } from 'vitest'
import type { Upstream } from '@/calling'
import { json, mounted, play, type } from '@/testing'
import RevealDialog from './RevealDialog.vue'

afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
async function reveal(...items: Upstream[]) {
  play(({ path }) => {
    if (path === '/api/v1/accounts/acc_1/models')
      return json({ items: ['nomic-embed-text', 'gemma3:4b'].map((id) => ({ id })) })
    return path === '/api/v1/accounts' ? json({ items }) : undefined
  })
  const shown = await mounted(RevealDialog, { props: { issued: { token: 'sk-stw-1', allowed_models: null } } })
  await flushPromises()
  return shown
}
const tabs = () => [...document.querySelectorAll('label:has(input[type=radio])')].map((one) => one.textContent)
const choose = async (label: string) => {
  const tab = [...document.querySelectorAll('label')].find((one) => one.textContent === label)!
  tab.querySelector('input')!.click()
  await flushPromises()
}
const code = () => [...document.querySelectorAll('code')].at(-1)!.textContent!
const claude = { provider: 'anthropic', protocol: 'anthropic', enabled: true, models: ['*'] }
const deepseek = { provider: 'deepseek', protocol: 'openai', enabled: true, models: ['*'] }

it('with an account at Anthropic alone gives curl, Python and Node for it', async () => {
  const { wrapper } = await reveal(claude)
  expect(tabs()).toEqual(['curl', 'Python', 'Node'])
  for (const [client, path] of [
    ['curl', '/v1/messages'],
    ['Python', 'from anthropic'],
    ['Node', '@anthropic-ai/sdk'],
  ] as const) {
    await choose(client)
    expect(code()).toContain(path)
    expect(code()).toContain('claude-')
  }
  wrapper.unmount()
})

it('with accounts of both protocols offers both, each with a model of its own', async () => {
  const { wrapper } = await reveal(deepseek, claude)
  expect(tabs()).toEqual(['OpenAI', 'Anthropic', 'curl', 'Python', 'Node'])
  expect(code()).toMatch(/chat\/completions[^]*deepseek/)
  await choose('Anthropic')
  expect(code()).toMatch(/v1\/messages[^]*claude/)
  wrapper.unmount()
})

it('calls what is typed, where the account takes any model', async () => {
  const { wrapper } = await reveal(deepseek)
  const field = document.querySelector<HTMLInputElement>('input[type=text]')!
  field.name = 'model'
  await type('model', 'deepseek-v4-pro')
  expect(code()).toContain('"deepseek-v4-pro"')
  wrapper.unmount()
})

it('calls what was installed where that is known to nobody else', async () => {
  const { wrapper } = await reveal({ ...deepseek, id: 'acc_1', provider: 'ollama' })
  await vi.waitFor(() => expect(code()).toContain('"gemma3:4b"'))
  wrapper.unmount()
})
