// Whose calls these are is told by the rows themselves, and how to make the first one by who there is to be called.
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { json, mounted, play } from '@/testing'
import RequestsPage from './RequestsPage.vue'

beforeEach(() => {
  localStorage.clear()
  // A box for the rows, which nothing lays out here.
  for (const side of ['offsetHeight', 'clientHeight', 'offsetWidth'] as const)
    vi.spyOn(HTMLElement.prototype, side, 'get').mockReturnValue(420)
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
const page = (calls: object[], accounts: object[] = []) => {
  const asked = play(({ path }) =>
    path === '/api/v1/logs/requests'
      ? json({ items: calls, total: calls.length, total_is_exact: true })
      : path === '/api/v1/accounts'
        ? json({ items: accounts })
        : undefined,
  )
  return mounted(RequestsPage, { address: '/requests' }).then((made) => ({ ...made, asked }))
}

it('names the key of every call without asking for keys; by its id where it has no name', async () => {
  const call = { request_at: '2026-03-04T12:00:00Z', status_code: 200, operation: 'chat', duration_ms: 9, attempts: 1 }
  const { wrapper, asked } = await page([
    { ...call, id: 'a', token_id: 'tok_old', token_name: 'the oldest of many keys' },
    { ...call, id: 'b', token_id: 'tok_nameless', token_name: null },
  ])
  const rows = () => [...document.querySelectorAll('[role=row][data-index]')].map((row) => row.textContent)
  await vi.waitFor(() => expect(rows()).toHaveLength(2))
  expect(rows()[0]).toContain('the oldest of many keys')
  expect(rows()[1]).toContain('tok_nameless')
  expect(asked.filter(({ path }) => path === '/api/v1/tokens')).toEqual([])
  wrapper.unmount()
})

it('begins with a call that runs as it stands', async () => {
  const { wrapper } = await page(
    [],
    [{ id: 'acc_1', name: 'c', provider: 'anthropic', protocol: 'anthropic', enabled: true, models: ['claude-x'] }],
  )
  await vi.waitFor(() => expect(wrapper.text()).toMatch(/\/v1\/messages[^]*claude-x/))
  expect(wrapper.text()).not.toContain('"…"')
  wrapper.unmount()
})
