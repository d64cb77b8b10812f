import { afterEach, expect, it, vi } from 'vitest'
import { json, mounted, play } from '@/testing'
import AuditPage from './AuditPage.vue'

afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
const entry = (id: string, action: string, details: object) => ({
  id,
  action,
  details,
  timestamp: '2026-01-01T00:00:00Z',
  user_id: null,
  user_name: 'ana',
  target_type: 'price',
  target_id: 'openai gpt-4o',
  ip_address: '::1',
  request_id: 'req_1',
})
const root = '/api/v1/ops/logs/operations'
const drawer = () => document.querySelector('[role=dialog]')?.textContent

it('opens an entry that is not among the rows of the list, with its change and all else it tells', async () => {
  const old = entry('opl_old', 'prices.set', { before: { input: '1' }, after: { input: '2' }, valid_from: 'then' })
  const asked = play(({ path }) => {
    if (path === root) return json({ items: [entry('opl_new', 'tokens.remove', { name: 'a' })], total: 1 })
    return path === `${root}/opl_old` ? json(old) : undefined
  })
  const { wrapper, router } = await mounted(AuditPage, { address: '/audit/opl_old' })
  await vi.waitFor(() => expect(drawer()).toMatch(/- .*"input": "1"[^]*\+ .*"input": "2"[^]*then/))
  await router.push('/audit/opl_new')
  await vi.waitFor(() => expect(drawer()).toContain('tokens.remove'))
  expect(asked.filter(({ path }) => path !== root).map(({ path }) => path)).toEqual([`${root}/opl_old`])
  await router.push('/audit/opl_gone')
  await vi.waitFor(() => expect(drawer()).toContain('There is no such entry'))
  wrapper.unmount()
})
