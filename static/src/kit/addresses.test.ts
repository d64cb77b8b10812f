// What lives in the URL: filters and the time range.
import { mount } from '@vue/test-utils'
import { beforeEach, describe, expect, it } from 'vitest'
import { defineComponent } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { useFilters } from './useFilters'
import { rangeOf, useTimeRange } from './useTimeRange'

async function at<T>(path: string, use: () => T) {
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [{ path: '/:rest(.*)*', component: { render: () => null } }],
  })
  await router.push(path)
  let made: T | undefined
  const page = defineComponent({
    setup() {
      made = use()
      return () => null
    },
  })
  mount(page, { global: { plugins: [router] } })
  /** Runs `act` and waits for the address to follow. */
  const moved = async (act: () => unknown) => {
    const done = new Promise<void>((go) => {
      const stop = router.afterEach(() => {
        stop()
        go()
      })
    })
    await act()
    await done
    return router.currentRoute.value.query
  }
  return { it: made!, moved, back: () => moved(() => router.back()), go: (to: string) => router.push(to) }
}
const specs = () => [{ key: 'model', label: 'Model', kind: 'text' as const }]

describe('filters', () => {
  it('are what the URL says of known keys, and nothing empty', async () => {
    const { it: filters } = await at('/r?model=gpt&q=&sort=-a&strange=1', () => useFilters(specs))
    expect(filters.values.value).toEqual({ model: 'gpt' })
    expect(filters.active.value).toBe(true)
  })

  it('change the URL and leave the rest of it alone', async () => {
    const { it: filters, moved } = await at('/r?sort=-a&range=7d', () => useFilters(specs))
    expect(filters.active.value).toBe(false)
    expect(await moved(() => filters.set('model', 'gpt'))).toEqual({ sort: '-a', range: '7d', model: 'gpt' })
    expect(filters.values.value).toEqual({ model: 'gpt' })
    expect(await moved(() => filters.set('model', ''))).toEqual({ sort: '-a', range: '7d' })
  })

  it('are cleared together, the sort order stays', async () => {
    const { it: filters, moved } = await at('/r?model=gpt&q=hello&sort=-a', () => useFilters(specs))
    expect(await moved(() => filters.clear())).toEqual({ sort: '-a' })
  })
})

describe('the time range', () => {
  beforeEach(() => sessionStorage.clear())

  it('is read from an address', () => {
    expect(rangeOf({})).toBeNull()
    expect(rangeOf({ range: '7d' })).toEqual({ range: '7d' })
    expect(rangeOf({ to: 'b' })).toBeNull()
    expect(rangeOf({ from: 'a' })).toEqual({ from: 'a' })
    expect(rangeOf({ range: '7d', from: 'a', to: 'b' })).toEqual({ from: 'a', to: 'b' })
    expect(rangeOf({ range: ['7d', '1h'] })).toBeNull()
  })

  it('is the last day at first, and what was chosen goes along to the next page', async () => {
    const first = await at('/overview', useTimeRange)
    expect(first.it.query.value).toEqual({ range: '24h' })
    expect(await first.moved(() => first.it.set({ range: '7d' }))).toEqual({ range: '7d' })
    const second = await at('/requests', useTimeRange)
    expect(second.it.query.value).toEqual({ range: '7d' })
  })

  it('comes back with Back, here and on the page before', async () => {
    const page = await at('/overview?model=gpt', useTimeRange)
    await page.moved(() => page.it.set({ range: '7d' }))
    await page.moved(() => page.it.set({ range: '30d' }))
    await page.back()
    expect(page.it.query.value).toEqual({ range: '7d' })
    expect(await page.back()).toEqual({ model: 'gpt', range: '24h' })
    expect(page.it.query.value).toEqual({ range: '24h' })
    await page.go('/requests')
    expect(page.it.query.value).toEqual({ range: '24h' })
  })

  it('of an address that somebody sent holds on the next page', async () => {
    const page = await at('/overview?range=30d', useTimeRange)
    await page.go('/requests')
    expect(page.it.query.value).toEqual({ range: '30d' })
    const from = '2026-01-02T03:04:05Z'
    await page.go(`/usage?from=${from}`)
    await page.go('/overview')
    expect(page.it.query.value).toEqual({ from })
  })

  it('of an address comes before the one chosen', async () => {
    const first = await at('/overview', useTimeRange)
    await first.moved(() => first.it.set({ range: '7d' }))
    const second = await at('/requests?range=1h', useTimeRange)
    expect(second.it.query.value).toEqual({ range: '1h' })
    expect(second.it.label.value).toBe('Last hour')
  })

  it('takes the place of the other kind, and no filter with it', async () => {
    const page = await at('/requests?range=1h&model=gpt', useTimeRange)
    const from = '2026-01-02T03:04:05Z'
    expect(await page.moved(() => page.it.set({ from }))).toEqual({ from, model: 'gpt' })
    expect(page.it.label.value).toMatch(/ – now$/)
  })
})
