import { flushPromises, mount } from '@vue/test-utils'
import { afterEach, expect, it, vi } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import FilterBar from './FilterBar.vue'
import { type FilterSpec, useFilters } from './useFilters'

afterEach(() => {
  document.body.innerHTML = ''
  vi.useRealTimers()
})

it('keeps the value that is being typed when the filters are told anew', async () => {
  const specs = (tokens?: FilterSpec['options']): FilterSpec[] => [
    { key: 'model', label: 'Model', kind: 'text' },
    { key: 'token_id', label: 'Key', kind: tokens ? 'select' : 'text', options: tokens },
  ]
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [{ path: '/:rest(.*)*', component: { render: () => null } }],
  })
  await router.push('/')
  const Page = {
    components: { FilterBar },
    props: ['specs'],
    setup: (props: { specs: FilterSpec[] }) => ({ filters: useFilters(() => props.specs) }),
    template: '<FilterBar :specs="specs" :filters="filters" />',
  }
  const wrapper = mount(Page, { attachTo: document.body, global: { plugins: [router] }, props: { specs: specs() } })
  await wrapper.get('button').trigger('click')
  await flushPromises()
  const value = () => document.querySelector<HTMLInputElement>('form input')!
  value().value = 'gpt-4o'
  value().dispatchEvent(new Event('input'))
  await flushPromises()
  const apply = () => document.querySelector<HTMLButtonElement>('form button[type=submit]')!
  expect(apply().disabled).toBe(false)
  await wrapper.setProps({ specs: specs([{ value: 'tok_1', label: 'billing' }]) })
  await flushPromises()
  expect([value().value, apply().disabled]).toEqual(['gpt-4o', false])
  // Another filter has other values.
  const by = document.querySelector('select')!
  by.value = 'token_id'
  by.dispatchEvent(new Event('change'))
  await flushPromises()
  expect([...document.querySelectorAll('select')].at(-1)!.value).toBe('tok_1')
  wrapper.unmount()
})

it('searches while one types, and leaves the space before the next word', async () => {
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [{ path: '/:rest(.*)*', component: { render: () => null } }],
  })
  await router.push('/')
  const Page = {
    components: { FilterBar },
    setup: () => ({ filters: useFilters(() => []) }),
    template: '<FilterBar :specs="[]" :filters="filters" search="Search" :debounce-ms="300" />',
  }
  vi.useFakeTimers()
  const wrapper = mount(Page, { global: { plugins: [router] } })
  const box = wrapper.get<HTMLInputElement>('input[type=search]')
  const typed = async (text: string) => {
    await box.setValue(text)
    await vi.advanceTimersByTimeAsync(400)
    await flushPromises()
    return [router.currentRoute.value.query.q, box.element.value]
  }
  expect(await typed('refund ')).toEqual(['refund', 'refund '])
  expect(await typed('refund policy')).toEqual(['refund policy', 'refund policy'])
  // Another address, such as by Back, says something else.
  await router.push('/?q=invoice')
  await flushPromises()
  expect(box.element.value).toBe('invoice')
  wrapper.unmount()
})
