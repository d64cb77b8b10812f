// Whose calls these are is told by the rows themselves, and how to make the first one by who there is to be called.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { button, json, mounted, play, press } from '@/testing'
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

describe('a list in whose time range there is nothing', () => {
  const [calls, wide] = ['/api/v1/logs/requests', '/api/v1/logs/requests?limit=1']
  const found = (...times: string[]) =>
    json({
      items: times.map((request_at, n) => ({ id: `${n}`, request_at })),
      total: times.length,
      total_is_exact: true,
    })
  const said = () => document.body.textContent!

  it('says that nothing matches where there are calls outside of it, and leads to the latest of them', async () => {
    play(({ line, path }) => {
      if (line === `GET ${wide}`) return found('2026-03-04T12:00:00.123Z')
      return path === calls ? found() : undefined
    })
    const { wrapper, router } = await mounted(RequestsPage, { address: '/requests?range=1h' })
    await vi.waitFor(() => expect(said()).toContain('Nothing matches'))
    expect(said()).not.toContain('No calls yet')
    const since = [...document.querySelectorAll('button')].find((one) => one.textContent.startsWith('Since '))
    since!.click()
    await vi.waitFor(() => expect(router.currentRoute.value.query).toEqual({ from: '2026-03-04T12:00:00.123Z' }))
    wrapper.unmount()
  })

  it('is read again where the latest call has come since it was', async () => {
    let reads = 0
    const asked = play(({ line, path }) => {
      if (line === `GET ${wide}`) return found('2026-03-04T12:00:00Z')
      return path === calls ? (reads++ === 0 ? found() : found('2026-03-04T12:00:00Z')) : undefined
    })
    const { wrapper } = await mounted(RequestsPage, { address: '/requests?range=1h' })
    await vi.waitFor(() => expect(document.querySelectorAll('[role=row][data-index]')).toHaveLength(1))
    expect(asked.filter(({ line }) => line === `GET ${wide}`)).toHaveLength(1)
    wrapper.unmount()
  })

  it('says how to begin where there are none at all, and neither before it knows', async () => {
    let held: (() => void) | undefined
    play(({ line, path }) => {
      if (line === `GET ${wide}`) return new Promise((go) => (held = () => go(found())))
      return path === calls ? found() : undefined
    })
    const { wrapper } = await mounted(RequestsPage, { address: '/requests?range=1h' })
    await vi.waitFor(() => expect(held).toBeDefined())
    expect(said()).not.toMatch(/No calls yet|Nothing matches/)
    held!()
    await vi.waitFor(() => expect(said()).toContain('No calls yet'))
    wrapper.unmount()
  })

  it('is searched no further under a filter: that can go, and the range be wider', async () => {
    const asked = play(({ path }) => (path === calls ? found() : undefined))
    const { wrapper, router } = await mounted(RequestsPage, { address: '/requests?range=1h&model=o3' })
    await vi.waitFor(() => expect(said()).toContain('Nothing matches'))
    expect(asked.filter(({ line }) => line === `GET ${wide}`)).toEqual([])
    await press('Last 90 days')
    await vi.waitFor(() => expect(router.currentRoute.value.query).toEqual({ range: '90d', model: 'o3' }))
    expect(button('Clear all')).toBeDefined()
    wrapper.unmount()
  })
})
