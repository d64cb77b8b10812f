import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query'
import { shallowMount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, expect, it, vi } from 'vitest'
import { nextTick } from 'vue'
import { type Me, useSession } from '@/session'
import App from './App.vue'

afterEach(() => vi.unstubAllGlobals())

it('keeps no answer to one operator for the next one in this tab', async () => {
  vi.stubGlobal('fetch', async () => new Response('{}', { status: 401 }))
  const pinia = createPinia()
  setActivePinia(pinia)
  const queries = new QueryClient()
  const session = useSession()
  const wrapper = shallowMount(App, { global: { plugins: [pinia, [VueQueryPlugin, { queryClient: queries }]] } })
  const known = () => queries.getQueryData(['conversations', 'one', '1'])
  const becomes = async (username: string | null) => {
    session.me = username === null ? null : ({ username, permissions: [] } as unknown as Me)
    await nextTick()
  }
  await becomes('ada')
  queries.setQueryData(['conversations', 'one', '1'], 'what ada may read')
  // Her rights may be told anew; she is the same.
  await becomes('ada')
  expect(known()).toBe('what ada may read')
  await becomes(null)
  expect(known()).toBeUndefined()
  await becomes('grace')
  queries.setQueryData(['conversations', 'one', '1'], 'what grace may read')
  await becomes('ada')
  expect(known()).toBeUndefined()
  wrapper.unmount()
})
