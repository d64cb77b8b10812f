// What lives in the URL: filters and the time range.
import { flushPromises, mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { defineComponent, h, nextTick } from 'vue'
import { createMemoryHistory, createRouter, RouterView } from 'vue-router'
import { useFilters } from './useFilters'
import { useTableLook } from './useTableLook'
import { rangeOf, useTimeRange } from './useTimeRange'

async function at<T>(path: string, use: () => T, history = createMemoryHistory()) {
  const router = createRouter({
    history,
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
  /** The page that `to` leads to, once it has said of itself what it says. */
  const go = async (to: string) => {
    await router.push(to)
    await flushPromises()
    return router.currentRoute.value.query
  }
  await flushPromises()
  return { it: made!, router, moved, back: () => moved(() => router.back()), go }
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
    expect(second.router.currentRoute.value.query, 'an address that is copied shows the same').toEqual({ range: '7d' })
  })

  it('is said in the address of every page that shows it, beside what it says already, and is no step for Back', async () => {
    const page = await at('/overview', useTimeRange)
    expect(page.router.currentRoute.value.query, 'the usual one needs no words').toEqual({})
    await page.moved(() => page.it.set({ range: '7d' }))
    expect(await page.go('/usage?by=tenant')).toEqual({ by: 'tenant', range: '7d' })
    expect(await page.go('/requests?model=gpt')).toEqual({ model: 'gpt', range: '7d' })
    expect(await page.back()).toEqual({ by: 'tenant', range: '7d' })
    expect(await page.back()).toEqual({ range: '7d' })
    expect(await page.back()).toEqual({ range: '24h' })
  })

  it('is said once by all parts of a page that show it, and takes nothing from what its table says', async () => {
    setActivePinia(createPinia())
    sessionStorage.setItem('steward.range', JSON.stringify({ from: 'a', to: 'b' }))
    localStorage.setItem('steward.columns.rows', '["size"]')
    const columns = [{ key: 'id' }, { key: 'size' }]
    const page = await at('/requests', () => [useTimeRange(), useTableLook('rows', () => columns), useTimeRange()])
    expect(page.router.currentRoute.value.query).toEqual({ from: 'a', to: 'b', 'cols.rows': 'id' })
    localStorage.clear()
  })

  it('is not said where it is only chosen', async () => {
    sessionStorage.setItem('steward.range', '{"range":"7d"}')
    const page = await at('/jobs', () => useTimeRange({ isShown: false }))
    expect(page.it.query.value).toEqual({ range: '7d' })
    expect(page.router.currentRoute.value.query).toEqual({})
  })

  it('holds nobody back who leaves before it is said', async () => {
    sessionStorage.setItem('steward.range', '{"range":"7d"}')
    const Shows = { setup: () => (useTimeRange(), () => h('p')) }
    const router = createRouter({
      history: createMemoryHistory(),
      routes: [
        { path: '/', component: { render: () => h('p') } },
        { path: '/requests', component: Shows },
        { path: '/jobs', component: { render: () => h('p') } },
      ],
    })
    await router.push('/')
    const app = mount(RouterView, { global: { plugins: [router] } })
    await router.push('/requests')
    await nextTick()
    await router.push('/jobs')
    await flushPromises()
    expect(router.currentRoute.value.fullPath).toBe('/jobs')
    app.unmount()
  })

  it('comes back with Back, here and on the page before', async () => {
    const page = await at('/overview?model=gpt', useTimeRange)
    await page.moved(() => page.it.set({ range: '7d' }))
    await page.moved(() => page.it.set({ range: '30d' }))
    await page.back()
    expect(page.it.query.value).toEqual({ range: '7d' })
    expect(await page.back()).toEqual({ model: 'gpt', range: '24h' })
    expect(page.it.query.value).toEqual({ range: '24h' })
    expect(await page.go('/requests')).toEqual({})
    expect(page.it.query.value).toEqual({ range: '24h' })
  })

  it('is the usual one again on a page that one comes back to whose address says none', async () => {
    // A browser keeps of an entry that another was opened from which one.
    let state = {}
    const history = new Proxy(createMemoryHistory(), {
      get: (of, key) => (key === 'state' ? state : Reflect.get(of, key)),
    })
    const page = await at('/overview', useTimeRange, history)
    await page.go('/feedback?range=90d')
    state = { forward: '/feedback?range=90d' }
    await page.back()
    await flushPromises()
    expect(page.router.currentRoute.value.fullPath).toBe('/overview')
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

describe('the time range of an address that is entered', () => {
  const arrive = async (type: string) => {
    sessionStorage.setItem('steward.range', '{"range":"7d"}')
    vi.spyOn(performance, 'getEntriesByType').mockReturnValue([{ type } as unknown as PerformanceEntry])
    vi.resetModules()
    const { useTimeRange } = await import('./useTimeRange')
    return (await at('/requests', useTimeRange)).it.query.value
  }
  afterEach(() => sessionStorage.clear())

  it('is what it says, whatever was chosen in this tab before', async () => {
    expect(await arrive('navigate')).toEqual({ range: '24h' })
  })
  it('stays over a reload', async () => {
    expect(await arrive('reload')).toEqual({ range: '7d' })
  })
})
