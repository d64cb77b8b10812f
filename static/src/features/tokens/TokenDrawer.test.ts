// A key is rotated and revoked as it is shown, and no other one.
import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { button, json, mounted, play, press, type } from '@/testing'
import TokenDrawer from './TokenDrawer.vue'

const root = '/api/v1/tokens'
const token = (id: string, total_requests = 1) => ({
  id,
  name: `key ${id}`,
  prefix: 'sk-stw-',
  last4: '1234',
  enabled: true,
  total_requests,
  total_tokens_used: 0,
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
})
beforeEach(() => localStorage.clear())
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
  vi.useRealTimers()
})
const drawer = (id: string) =>
  mounted(TokenDrawer, {
    props: { id },
    address: `/tokens/${id}`,
    permissions: ['read:tokens', 'write:tokens'],
  })
const said = () => document.body.textContent!

it('is not shown with the buttons of the key before, while it is on its way', async () => {
  let held: (() => void) | undefined
  play(({ path }) => {
    if (path === `${root}/b`) return new Promise((go) => (held = () => go(json(token('b'), 200, { etag: '"7"' }))))
    return path === `${root}/a` ? json(token('a'), 200, { etag: '"1"' }) : undefined
  })
  const { wrapper } = await drawer('a')
  await vi.waitFor(() => expect(said()).toContain('key a'))
  await wrapper.setProps({ id: 'b' })
  await vi.waitFor(() => expect(held).toBeDefined())
  expect(said()).not.toContain('key a')
  expect(button('Rotate')).toBeUndefined()
  held!()
  await vi.waitFor(() => expect(said()).toContain('key b'))
  wrapper.unmount()
})

it('is revoked as it was shown', async () => {
  const asked = play(({ line, path }) => {
    if (line.startsWith('DELETE')) return json({})
    return path === `${root}/a` ? json(token('a'), 200, { etag: '"4"' }) : undefined
  })
  const { wrapper } = await drawer('a')
  await press('Revoke')
  await type('typed-name', 'key a')
  document.querySelector('#confirm-by-name')!.dispatchEvent(new Event('submit', { cancelable: true }))
  await flushPromises()
  const deletions = asked.filter(({ line }) => line.startsWith('DELETE'))
  expect(deletions.map(({ headers }) => headers.get('if-match'))).toEqual(['"4"'])
  wrapper.unmount()
})

it('is asked for again as often as the page is, so that its numbers move', async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true })
  let calls = 0
  play(({ path }) => (path === `${root}/a` ? json(token('a', ++calls), 200, { etag: '"1"' }) : undefined))
  const { wrapper } = await drawer('a')
  await vi.waitFor(() => expect(calls).toBe(1))
  await vi.advanceTimersByTimeAsync(120_000)
  expect(calls).toBeGreaterThan(1)
  wrapper.unmount()
})

it('tells what it may spend, in its currency', async () => {
  const rich = { ...token('a'), daily_budget: '20.5', monthly_budget: null, budget_currency: 'CNY' }
  play(({ path }) => (path === `${root}/a` ? json(rich, 200, { etag: '"1"' }) : undefined))
  const { wrapper } = await drawer('a')
  const fact = (label: string) =>
    [...document.querySelectorAll('dt')].find((one) => one.textContent === label)?.nextElementSibling?.textContent
  await vi.waitFor(() => expect(fact('Budget a day')).toBe('¥20.50'))
  expect(fact('Budget a month')).toBe('No limit')
  wrapper.unmount()
})

it.each([
  [true, 'Enabled'],
  [false, 'Disabled'],
])('tells whether it answers from the knowledge: %s', async (knowledge, said) => {
  play(({ path }) => (path === `${root}/a` ? json({ ...token('a'), knowledge }, 200, { etag: '"1"' }) : undefined))
  const { wrapper } = await drawer('a')
  const fact = (label: string) =>
    [...document.querySelectorAll('dt')].find((one) => one.textContent === label)?.nextElementSibling?.textContent
  await vi.waitFor(() => expect(fact('Answer from the knowledge')).toBe(said))
  wrapper.unmount()
})

it('tells who made it by name to who may see operators, by id to others, and copies the id', async () => {
  const writeText = vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue()
  play(({ path }) => {
    if (path === '/api/v1/ops/users') return json({ items: [{ id: 'opr_7', username: 'ada' }] })
    return path === `${root}/a` ? json({ ...token('a'), created_by: 'opr_7' }, 200, { etag: '"1"' }) : undefined
  })
  const made = () =>
    [...document.querySelectorAll('dt')].find((one) => one.textContent === 'Created by')?.nextElementSibling
  for (const [permissions, name] of [
    [['read:tokens', 'read:operators'], 'ada'],
    [['read:tokens'], 'opr_7'],
  ] as const) {
    const { wrapper } = await mounted(TokenDrawer, {
      props: { id: 'a' },
      address: '/tokens/a',
      permissions: [...permissions],
    })
    await vi.waitFor(() => expect(made()?.querySelector('span')?.textContent).toBe(name))
    expect(made()!.querySelector('button')!.getAttribute('aria-label')).toBe('Copy the id')
    made()!.querySelector('button')!.click()
    await vi.waitFor(() => expect(writeText).toHaveBeenLastCalledWith('opr_7'))
    writeText.mockClear()
    wrapper.unmount()
  }
})
