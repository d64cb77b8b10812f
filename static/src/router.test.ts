import { afterEach, describe, expect, it, vi } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import { followUpgrades, scrollBehavior } from './router'

afterEach(() => sessionStorage.clear())

function tab(why: string) {
  const router = createRouter({
    history: createMemoryHistory('/ops/'),
    routes: [
      { path: '/', component: { render: () => null } },
      { path: '/here', component: { render: () => null } },
      { path: '/gone', component: () => Promise.reject(new TypeError(why)) },
    ],
  })
  const load = vi.fn<(href: string) => void>()
  followUpgrades(router, load)
  const go = (path: string) => router.push(path).catch(() => undefined)
  return { load, go }
}

describe('a page whose code went away with an upgrade', () => {
  it.each([
    'Failed to fetch dynamically imported module: /ops/assets/JobsPage-1.js',
    'error loading dynamically imported module: /ops/assets/JobsPage-1.js',
    'Importing a module script failed.',
    'Unable to preload CSS for /ops/assets/JobsPage-1.css',
  ])('is loaded with the new console (%s)', async (why) => {
    const { load, go } = tab(why)
    await go('/gone?state=failed')
    expect(load.mock.calls).toEqual([['/ops/gone?state=failed']])
  })

  it('is loaded once: where it is missing for good nothing goes round in circles', async () => {
    const { load, go } = tab('Failed to fetch dynamically imported module: x')
    await go('/gone')
    await go('/gone')
    expect(load).toHaveBeenCalledOnce()
    // The next upgrade is another matter.
    await go('/here')
    await go('/gone')
    expect(load).toHaveBeenCalledTimes(2)
  })

  it('is another matter than one that fails by itself', async () => {
    const { load, go } = tab('x is not a function')
    await go('/gone')
    expect(load).not.toHaveBeenCalled()
  })
})

describe('where a page stands', () => {
  const pages = createRouter({
    history: createMemoryHistory(),
    routes: ['/tokens/:id?', '/jobs'].map((path) => ({ path, component: { render: () => null } })),
  })
  const at = (path: string) => pages.resolve(path) as Parameters<typeof scrollBehavior>[0]
  const goes = (to: string, from: string, saved: { top: number; left: number } | null = null) =>
    scrollBehavior(at(to), at(from) as Parameters<typeof scrollBehavior>[1], saved)

  it('a new one at its top, Back where it was, a drawer or a filter where it is', async () => {
    expect(goes('/jobs', '/tokens')).toEqual({ top: 0 })
    expect(goes('/tokens/tok_1', '/tokens')).toBe(false)
    expect(goes('/tokens?q=a', '/tokens')).toBe(false)
    expect(await goes('/tokens', '/jobs', { left: 0, top: 0 })).toEqual({ left: 0, top: 0 })
  })

  it('Back waits for the rows that stood above', async () => {
    let grown = () => {}
    vi.stubGlobal(
      'ResizeObserver',
      class {
        constructor(changed: () => void) {
          grown = changed
        }
        observe() {}
        disconnect() {}
      },
    )
    const height = vi.spyOn(document.documentElement, 'scrollHeight', 'get').mockReturnValue(100)
    vi.spyOn(document.documentElement, 'clientHeight', 'get').mockReturnValue(100)
    let stands: unknown
    void Promise.resolve(goes('/tokens', '/jobs', { left: 0, top: 400 })).then((place) => (stands = place))
    grown()
    await Promise.resolve()
    expect(stands).toBeUndefined()
    height.mockReturnValue(500)
    grown()
    await vi.waitFor(() => expect(stands).toEqual({ left: 0, top: 400 }))
    vi.restoreAllMocks()
    vi.unstubAllGlobals()
  })
})
