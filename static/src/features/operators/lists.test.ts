// Two people at once: a question that is closed loses nothing, and what I did not touch stays theirs.
import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Asked, button, json, mounted, play, press, records, type } from '@/testing'
import OperatorList from './OperatorList.vue'
import RoleList from './RoleList.vue'

const created_at = '2026-01-01T00:00:00Z'
const person = { display_name: '', role: 'ops_admin', enabled: true, created_at, must_change_password: false }
const role = { built_in: false, permissions: ['read:*'], effective: ['read:logs', 'read:tokens'], created_at }
const people = () =>
  records(
    '/api/v1/ops/users',
    { ...person, id: 'ana', username: 'ana', display_name: 'Ana' },
    { ...person, id: 'ben', username: 'ben', display_name: 'Ben', role: 'ops_viewer' },
  )
const roles = () => records('/api/v1/ops/roles', { ...role, id: 'r1', name: 'support' })

beforeEach(() => {
  // A box for the rows, which nothing lays out here.
  for (const side of ['offsetHeight', 'clientHeight', 'offsetWidth'] as const)
    vi.spyOn(HTMLElement.prototype, side, 'get').mockReturnValue(420)
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
const value = (field: string) => document.querySelector<HTMLInputElement>(`[name="${field}"]`)?.value
async function openRow(text: string) {
  const row = () =>
    [...document.querySelectorAll<HTMLElement>('[role=row]')].find((one) => one.textContent.includes(text))
  await vi.waitFor(() => expect(row()).toBeDefined())
  row()!.click()
  await flushPromises()
}
const mayType = (field: string) => !document.querySelector(`[name="${field}"]`)!.closest('fieldset')!.disabled
const conflict = () => document.body.textContent.includes('Somebody else changed this meanwhile')
async function escape() {
  document
    .querySelectorAll('[role=dialog]')
    .forEach((dialog) => dialog.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true })))
  await vi.waitFor(() => expect(conflict()).toBe(false))
}
const patches = (asked: Asked[]) => asked.filter(({ line }) => line.startsWith('PATCH')).map(({ body }) => body)

describe('operators', () => {
  it('a new name is all that is sent, and a role that was taken away stays away', async () => {
    const all = people()
    const asked = play((one) => all.server(one) ?? json({ items: [] }))
    const { wrapper } = await mounted(OperatorList)
    await openRow('ana')
    await vi.waitFor(() => expect(button('Save')!.disabled).toBe(false))
    await type('display_name', 'Anna')
    all.change('ana', { role: 'ops_viewer' })
    await press('Save')
    await vi.waitFor(() => expect(conflict()).toBe(true))
    await escape()
    expect(value('display_name')).toBe('Anna')
    await press('Save')
    await press('Keep my changes')
    await vi.waitFor(() => expect(all.of('ana')).toMatchObject({ display_name: 'Anna', role: 'ops_viewer' }))
    expect(patches(asked)).toEqual(Array(3).fill({ display_name: 'Anna' }))
    wrapper.unmount()
  })

  it('one who is opened is shown at once, and saved only when all of them is here', async () => {
    const all = people()
    let held: (() => void) | undefined
    play((one) => {
      const answer = all.server(one) ?? json({ items: [] })
      return one.line === 'GET /api/v1/ops/users/ben' ? new Promise((go) => (held = () => go(answer))) : answer
    })
    const { wrapper } = await mounted(OperatorList)
    await openRow('ana')
    await vi.waitFor(() => expect(button('Save')!.disabled).toBe(false))
    button('Close')!.click()
    await vi.waitFor(() => expect(button('Save')).toBeUndefined())
    await openRow('ben')
    expect([value('username'), value('display_name'), value('role')]).toEqual(['ben', 'Ben', 'ops_viewer'])
    expect(button('Save')!.disabled).toBe(true)
    // Nothing is typed that what is on its way would write over.
    expect(mayType('display_name')).toBe(false)
    held!()
    await vi.waitFor(() => expect(button('Save')!.disabled).toBe(false))
    expect(mayType('display_name')).toBe(true)
    wrapper.unmount()
  })

  it('one is deleted as they were shown, and by nobody who may not', async () => {
    const all = people()
    const asked = play((one) => (one.line.startsWith('DELETE') ? json({}) : (all.server(one) ?? json({ items: [] }))))
    all.change('ana', {})
    const { wrapper } = await mounted(OperatorList)
    await openRow('ana')
    await vi.waitFor(() => expect(button('Save')!.disabled).toBe(false))
    await press('Delete')
    await type('typed-name', 'ana')
    document.querySelector('#confirm-by-name')!.dispatchEvent(new Event('submit', { cancelable: true }))
    await vi.waitFor(() => expect(asked.some(({ line }) => line.startsWith('DELETE'))).toBe(true))
    expect(asked.find(({ line }) => line.startsWith('DELETE'))!.headers.get('if-match')).toBe('"2"')
    wrapper.unmount()
    document.body.innerHTML = ''

    const viewer = await mounted(OperatorList, { permissions: ['read:*'] })
    await vi.waitFor(() => expect(document.querySelector('[data-index]')).not.toBeNull())
    expect(document.querySelector('[data-index]')!.className).not.toContain('cursor-pointer')
    await openRow('ana')
    expect(document.querySelector('[role=dialog]')).toBeNull()
    viewer.wrapper.unmount()
  })
})

describe('what is open stands in the address', () => {
  it('of an operator: opened by it, closed by Back, and told where there is none', async () => {
    const all = people()
    play((one) => all.server(one) ?? (one.path.endsWith('/roles') ? json({ items: [] }) : undefined))
    const { wrapper, router } = await mounted(OperatorList, { address: '/operators' })
    const at = () => router.currentRoute.value.fullPath
    await openRow('ana')
    expect(at()).toBe('/operators/ana')
    router.back()
    await vi.waitFor(() => expect(document.querySelector('[role=dialog]')).toBeNull())
    expect(at()).toBe('/operators')
    await router.push('/operators/ben?q=b')
    await vi.waitFor(() => expect(button('Save')!.disabled).toBe(false))
    expect(value('display_name')).toBe('Ben')
    await press('Save')
    await vi.waitFor(() => expect(at()).toBe('/operators?q=b'))
    await router.push('/operators/gone')
    await vi.waitFor(() => expect(document.body.textContent).toContain('There is no such operator'))
    expect(button('Save')!.disabled).toBe(true)
    wrapper.unmount()
  })

  it('of one that the list does not hold yet: all of them comes first', async () => {
    const all = people()
    play((one) => {
      // The list never comes.
      if (one.line.startsWith('GET /api/v1/ops/users?')) return new Promise(() => {})
      return all.server(one) ?? json({ items: [] })
    })
    const { wrapper } = await mounted(OperatorList, { address: '/operators/ana' })
    await vi.waitFor(() => expect(value('display_name')).toBe('Ana'))
    expect(mayType('display_name')).toBe(true)
    wrapper.unmount()
  })

  it('of the form of a new one, which is no place to come back to', async () => {
    const all = people()
    play((one) => {
      if (one.line === 'POST /api/v1/ops/users') return json({ id: 'cy', username: 'cy', password: 'once' })
      return all.server(one) ?? json({ items: [] })
    })
    const { wrapper, router } = await mounted(OperatorList, { address: '/operators' })
    await press('Add operator')
    expect(router.currentRoute.value.fullPath).toBe('/operators?new=1')
    await type('username', 'cy')
    await press('Save')
    await vi.waitFor(() => expect(router.currentRoute.value.fullPath).toBe('/operators'))
    expect(document.body.textContent).toContain('once')
    wrapper.unmount()
  })

  it('of nothing that one may not change', async () => {
    const all = people()
    play((one) => all.server(one) ?? json({ items: [] }))
    const { wrapper } = await mounted(OperatorList, { address: '/operators/ana', permissions: ['read:*'] })
    await flushPromises()
    expect(document.querySelector('[role=dialog]')).toBeNull()
    wrapper.unmount()
  })

  it('of a role, also for who may only look', async () => {
    const all = roles()
    const asked = play((one) => all.server(one))
    const address = '/operators/r1?tab=roles'
    const { wrapper } = await mounted(RoleList, { address, permissions: ['read:*'] })
    await vi.waitFor(() => expect(document.body.textContent).toContain('Edit role support'))
    expect(button('Save')).toBeUndefined()
    wrapper.unmount()
    document.body.innerHTML = ''
    const other = await mounted(RoleList, { address })
    await vi.waitFor(() => expect(button('Save')!.disabled).toBe(false))
    await press('Cancel')
    await vi.waitFor(() => expect(other.router.currentRoute.value.fullPath).toBe('/operators?tab=roles'))
    await press('Add role')
    expect(other.router.currentRoute.value.fullPath).toBe('/operators?tab=roles&new=1')
    expect(button('Save')!.disabled).toBe(false)
    expect(patches(asked)).toEqual([])
    await other.router.push('/operators/r9?tab=roles')
    await vi.waitFor(() => expect(document.body.textContent).toContain('There is no such role'))
    other.wrapper.unmount()
  })
})

describe('roles', () => {
  /** Each word has a button that removes it. */
  const tags = () =>
    [...document.querySelectorAll('[aria-label^="Remove "]')].map((one) => one.getAttribute('aria-label')!.slice(7))

  it('what was typed stays when the question is closed', async () => {
    const all = roles()
    const asked = play((one) => all.server(one))
    const { wrapper } = await mounted(RoleList)
    await openRow('support')
    await vi.waitFor(() => expect(button('Save')!.disabled).toBe(false))
    const field = document.querySelector<HTMLInputElement>('[name=permissions]')!
    await type('permissions', 'write:tokens')
    field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }))
    await flushPromises()
    expect(tags()).toEqual(['read:*', 'write:tokens'])
    all.change('r1', { permissions: ['read:logs'] })
    await press('Save')
    await vi.waitFor(() => expect(conflict()).toBe(true))
    await escape()
    expect(tags()).toEqual(['read:*', 'write:tokens'])
    await press('Save')
    await press('Load their version')
    await vi.waitFor(() => expect(tags()).toEqual(['read:logs']))
    expect(all.of('r1').permissions).toEqual(['read:logs'])
    await press('Save')
    await vi.waitFor(() => expect(button('Save')).toBeUndefined())
    expect(patches(asked)).toHaveLength(2)
    wrapper.unmount()
  })
})
