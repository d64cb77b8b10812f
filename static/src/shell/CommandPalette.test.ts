// The palette with an input method, and in a house with more tenants than a page holds.
import { flushPromises } from '@vue/test-utils'
import { afterEach, expect, it, vi } from 'vitest'
import { features } from '@/features'
import { json, mounted, play } from '@/testing'
import CommandPalette from './CommandPalette.vue'

afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
const box = () => document.querySelector<HTMLInputElement>('[role=combobox]')!
const press = async (key: string, how: KeyboardEventInit = {}) => {
  box().dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...how }))
  await flushPromises()
}
const typed = async (text: string) => {
  box().value = text
  box().dispatchEvent(new Event('input'))
  await flushPromises()
}
const palette = () => mounted(CommandPalette, { props: { open: true, features }, address: '/overview' })

it('runs nothing while Enter is for the input method', async () => {
  play(() => json({ items: [] }))
  const { wrapper, router } = await palette()
  await typed('jobs')
  const closed = () => wrapper.emitted('update:open')
  await press('Enter', { isComposing: true })
  expect([router.currentRoute.value.path, closed()]).toEqual(['/overview', undefined])
  await press('Enter')
  await vi.waitFor(() => expect(router.currentRoute.value.path).toBe('/jobs'))
  wrapper.unmount()
})

it('finds any tenant and any account, wherever they stand in their lists', async () => {
  const asked = play(({ line, path }) => {
    if (path === '/api/v1/ops/tenants')
      return json({ items: line.includes('q=kimono') ? [{ id: 'ten_950', name: 'Kimono 950' }] : [] })
    if (path !== '/api/v1/accounts') return json({ items: [] })
    return line.includes('cursor=2')
      ? json({ items: [{ id: 'acc_201', name: 'kimono spare', provider: 'openai' }] })
      : json({ items: [{ id: 'acc_1', name: 'main', provider: 'openai' }], next_cursor: '2' })
  })
  const { wrapper, router } = await palette()
  await typed('kimono')
  const options = () => [...document.querySelectorAll('[role=option]')].map((one) => one.textContent)
  await vi.waitFor(() => {
    expect(options().some((one) => one.includes('Kimono 950'))).toBe(true)
    expect(options().some((one) => one.includes('kimono spare'))).toBe(true)
  })
  expect(asked.some(({ line }) => line.includes('cursor=2'))).toBe(true)
  const tenant = [...document.querySelectorAll<HTMLElement>('[role=option]')].find((one) =>
    one.textContent.includes('Kimono 950'),
  )!
  tenant.click()
  await vi.waitFor(() => expect(router.currentRoute.value.path).toBe('/tenants/ten_950'))
  wrapper.unmount()
})
