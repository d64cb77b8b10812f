import { afterEach, describe, expect, it, vi } from 'vitest'
import { createMemoryHistory, createRouter } from 'vue-router'
import { followUpgrades } from './router'

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
