import { afterEach, describe, expect, it, vi } from 'vitest'
import { effectScope } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { fetchPagesWhenIdle } from './ahead'

const told = { configurable: true, value: {} as { saveData?: boolean; effectiveType?: string } }
afterEach(() => Reflect.deleteProperty(navigator, 'connection'))

async function tab(connection?: { saveData?: boolean; effectiveType?: string }) {
  if (connection) Object.defineProperty(navigator, 'connection', { ...told, value: connection })
  const fetched: string[] = []
  const page = (name: string, code: () => unknown = () => ({ render: () => null })) => ({
    path: `/${name}`,
    component: () => {
      fetched.push(name)
      return Promise.resolve(code())
    },
  })
  const router = createRouter({
    history: createMemoryHistory('/ops/'),
    routes: [
      { path: '/', component: { render: () => null } },
      page('one'),
      page('gone', () => Promise.reject(new TypeError('Failed to fetch dynamically imported module'))),
      page('two'),
    ],
  })
  await router.push('/')
  const scope = effectScope()
  const go = (paths: string[], whenIdle = vi.fn(() => Promise.resolve())) =>
    scope.run(() => fetchPagesWhenIdle(router, paths, whenIdle))!.then(() => whenIdle.mock.calls.length)
  return { fetched, go, scope }
}

describe('pages fetched ahead', () => {
  it('come one by one, each when the browser is idle', async () => {
    const { fetched, go } = await tab()
    expect(await go(['/one', '/two'])).toBe(2)
    expect(fetched).toEqual(['one', 'two'])
  })

  it('are left for later with the first that cannot be had', async () => {
    const { fetched, go } = await tab({ effectiveType: '4g' })
    await go(['/gone', '/one'])
    expect(fetched).toEqual(['gone'])
  })

  it.each([{ saveData: true }, { effectiveType: '3g' }])('wait to be asked for over a line like %o', async (line) => {
    const { fetched, go } = await tab(line)
    await go(['/one', '/two'])
    expect(fetched).toEqual([])
  })

  it('stop when the console is left', async () => {
    const { fetched, go, scope } = await tab()
    const idle = vi.fn(async () => {
      if (idle.mock.calls.length === 2) scope.stop()
    })
    await go(['/one', '/two'], idle)
    expect(fetched).toEqual(['one'])
  })
})
