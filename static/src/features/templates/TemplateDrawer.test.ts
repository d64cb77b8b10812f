import { flushPromises } from '@vue/test-utils'
import { afterEach, expect, it, vi } from 'vitest'
import { button, json, mounted, play, press } from '@/testing'
import TemplateDrawer from './TemplateDrawer.vue'

const root = '/api/v1/ops/templates'
const template = (id: string) => ({
  id,
  question: `Question ${id}`,
  answer: `Answer ${id}`,
  category: '',
  revision: 1,
  distributed_count: 0,
  outdated_count: 0,
  tenant_count: 0,
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})

it('a template that is asked for last is the one that is edited', async () => {
  let held: (() => void) | undefined
  let editing = false
  play(({ path }) => {
    if (path.endsWith('/tenants')) return json({ items: [] })
    if (!path.startsWith(`${root}/`)) return undefined
    const id = path.slice(root.length + 1)
    const found = json(template(id), 200, { etag: '"1"' })
    return editing && id === 'a' ? new Promise((go) => (held = () => go(found))) : found
  })
  const props = { id: 'a', categories: [], changed: () => Promise.resolve() }
  const { wrapper } = await mounted(TemplateDrawer, { props, address: '/templates/a' })
  await vi.waitFor(() => expect(button('Edit')).toBeDefined())
  editing = true
  await press('Edit')
  await vi.waitFor(() => expect(held).toBeDefined())
  await wrapper.setProps({ id: 'b' })
  await vi.waitFor(() => expect(document.body.textContent).toContain('Answer b'))
  held!()
  await flushPromises()
  expect(document.querySelector('form')).toBeNull()
  wrapper.unmount()
})
