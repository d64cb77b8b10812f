// A list that is filtered and ordered by the address; a tenant that is suspended as it was shown, and changed by two people.
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type Asked, button, json, mounted, play, press, refused, type } from '@/testing'
import TenantsPage from './TenantsPage.vue'

const at = '2026-01-01T00:00:00Z'
const kimono = {
  id: 'ten_1',
  name: 'Kimono One',
  status: 'active',
  suspended_at: null as string | null,
  suspended_reason: null as string | null,
  daily_budget: '20',
  monthly_budget: null,
  budget_currency: 'USD',
  user_count: 1,
  token_count: 2,
  qa_pair_count: 3,
  pending_feedbacks: 4,
  conversations_today: 5,
  conversations_week: 6,
  conversations_month: 7,
  total_requests: 8,
  total_tokens_used: 9,
  last_active_at: at,
  created_at: at,
  updated_at: at,
  version: 1,
}
type Row = typeof kimono
beforeEach(() => {
  // A box for the rows, which nothing lays out here.
  for (const side of ['offsetHeight', 'clientHeight', 'offsetWidth'] as const)
    vi.spyOn(HTMLElement.prototype, side, 'get').mockReturnValue(420)
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
const text = () => document.body.textContent ?? ''
const submit = (form: string) =>
  document.querySelector(`#${form}`)!.dispatchEvent(new Event('submit', { cancelable: true }))
const changes = (asked: Asked[]) =>
  asked
    .filter(({ line }) => /^(POST|PATCH)/.test(line))
    .map(({ line, body, headers }) => [line, body, headers.get('if-match')])
const listed = (asked: Asked[]) =>
  asked.filter(({ path, line }) => path === '/api/v1/ops/tenants' && line.includes('limit=100'))

/** One tenant, which `row` tells as it stands. */
function server(row: () => Row) {
  return ({ path, line }: Asked) => {
    if (path === '/api/v1/ops/tenants')
      return json({ items: [row()], total: line.includes('status=suspended') ? 0 : 1, total_is_exact: true })
    if (path === '/api/v1/ops/tenants/ten_1' && line.startsWith('GET'))
      return json(row(), 200, { etag: `"${row().version}"` })
    if (path === '/api/v1/ops/users') return json({ items: [], total: 0 })
    return undefined
  }
}
// No statistics: what they are drawn with is another test's.
const permissions = ['read:tenants', 'write:tenants', 'read:operators', 'read:logs']

it('asks for what the address says, and says how many there are', async () => {
  const asked = play(server(() => kimono))
  const { wrapper } = await mounted(TenantsPage, {
    address: '/tenants?status=active&q=kim&sort=-user_count',
    permissions,
  })
  await vi.waitFor(() => expect(text()).toContain('Kimono One'))
  const query = new URLSearchParams(listed(asked)[0]!.line.split('?')[1])
  expect(Object.fromEntries(query)).toMatchObject({ status: 'active', q: 'kim', sort: '-user_count' })
  await vi.waitFor(() => expect(text()).toContain('1 in all, 1 active, 0 suspended'))
  wrapper.unmount()
})

it('is suspended with a reason, as it was shown, and leads to what is its own', async () => {
  let row: Row = kimono
  const asked = play((one) => {
    if (one.line === 'POST /api/v1/ops/tenants/ten_1/suspend') {
      row = { ...row, status: 'suspended', suspended_at: at, suspended_reason: 'unpaid', version: 2 }
      return json(row)
    }
    return server(() => row)(one)
  })
  const { wrapper } = await mounted(TenantsPage, { address: '/tenants/ten_1', permissions })
  await press('Suspend')
  await vi.waitFor(() => expect(document.querySelector('[name=reason]')).not.toBeNull())
  await type('reason', ' unpaid ')
  submit('suspend-tenant')
  await vi.waitFor(() => expect(text()).toContain('Reason: unpaid'))
  await vi.waitFor(() => expect(button('Activate')).toBeDefined())
  expect(changes(asked)).toEqual([['POST /api/v1/ops/tenants/ten_1/suspend', { reason: 'unpaid' }, '"1"']])
  const links = [...document.querySelectorAll('[role=dialog] ul a')].map((one) => one.getAttribute('href'))
  // Only what may be read.
  expect(links).toEqual(['/requests?tenant_id=ten_1'])
  wrapper.unmount()
})

it('shows how it stands when somebody else was first', async () => {
  let row: Row = kimono
  const asked = play((one) => {
    if (one.line.startsWith('POST')) {
      row = { ...row, name: 'Kimono Two', version: 2 }
      return refused(412, 'precondition_failed')
    }
    return server(() => row)(one)
  })
  const { wrapper } = await mounted(TenantsPage, { address: '/tenants/ten_1', permissions })
  await press('Suspend')
  await vi.waitFor(() => expect(document.querySelector('#suspend-tenant')).not.toBeNull())
  submit('suspend-tenant')
  await vi.waitFor(() => expect(text()).toContain('Kimono Two'))
  expect(document.querySelector('#suspend-tenant')).toBeNull()
  expect(changes(asked)).toHaveLength(1)
  wrapper.unmount()
})

it('sends only what was changed of it', async () => {
  let row: Row = kimono
  const asked = play((one) => {
    if (one.line.startsWith('PATCH')) {
      row = { ...row, ...(one.body as Partial<Row>), version: 2 }
      return json(row)
    }
    return server(() => row)(one)
  })
  const { wrapper } = await mounted(TenantsPage, { address: '/tenants/ten_1', permissions })
  await press('Edit')
  await vi.waitFor(() => expect(document.querySelector('[name=monthly_budget]')).not.toBeNull())
  await type('monthly_budget', '300')
  submit('edit-tenant')
  await vi.waitFor(() => expect(document.querySelector('#edit-tenant')).toBeNull())
  expect(changes(asked)).toEqual([['PATCH /api/v1/ops/tenants/ten_1', { monthly_budget: '300' }, '"1"']])
  wrapper.unmount()
})

it('who only reads changes nothing', async () => {
  play(server(() => kimono))
  const { wrapper } = await mounted(TenantsPage, {
    address: '/tenants/ten_1',
    permissions: ['read:tenants', 'read:operators'],
  })
  await vi.waitFor(() => expect(text()).toContain('Nobody signs in for this tenant yet.'))
  expect(['New tenant', 'Suspend', 'Edit', 'Add person'].filter((name) => button(name))).toEqual([])
  wrapper.unmount()
})
