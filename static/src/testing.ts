// For tests: a part of a page, mounted as `main.ts` mounts the whole, against a server that the test plays.
import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query'
import { flushPromises, mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { vi } from 'vitest'
import type { Component } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { features } from './features'
import { i18n } from './i18n'
import { type Me, useSession } from './session'

export const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } })
export const refused = (status: number, code: string) =>
  json({ code, title: code, detail: '', status, errors: [] }, status)

/** What was asked for: `GET /api/v1/tokens?limit=100`, and its body. */
export interface Asked {
  line: string
  path: string
  body: Record<string, unknown>
  headers: Headers
}
/** Every call ends at `server`, which says nothing (404) to what it does not know; all that were made are kept. */
export function play(server: (asked: Asked) => Response | undefined | Promise<Response | undefined>): Asked[] {
  const all: Asked[] = []
  vi.stubGlobal('fetch', async (input: Request) => {
    const { pathname, search } = new URL(input.url)
    const text = await input.text()
    const asked = {
      line: `${input.method} ${pathname}${search}`,
      path: pathname,
      body: text ? (JSON.parse(text) as Record<string, unknown>) : {},
      headers: input.headers,
    }
    all.push(asked)
    return (await server(asked)) ?? refused(404, 'not_found')
  })
  return all
}

/** Records below `root` that are read with an ETag and changed with If-Match. */
export function records<T extends { id: string }>(root: string, ...all: T[]) {
  const rows = new Map(all.map((row) => [row.id, { row, version: 1 }]))
  return {
    of: (id: string) => rows.get(id)!.row,
    change(id: string, changes: Partial<T>) {
      const { row, version } = rows.get(id)!
      rows.set(id, { row: { ...row, ...changes }, version: version + 1 })
    },
    server({ line, path, body, headers }: Asked): Response | undefined {
      const method = line.split(' ')[0]
      if (path === root && method === 'GET')
        return json({ items: [...rows.values()].map((one) => ({ ...one.row, version: one.version })) })
      const one = path.startsWith(`${root}/`) ? rows.get(path.slice(root.length + 1)) : undefined
      if (!one) return undefined
      if (method === 'PATCH') {
        if (headers.get('if-match') !== `"${one.version}"`) return refused(412, 'precondition_failed')
        this.change(one.row.id, body as Partial<T>)
      }
      const now = rows.get(one.row.id)!
      return json({ ...now.row, version: now.version }, 200, { etag: `"${now.version}"` })
    },
  }
}

/** Somebody with these permissions, whose calls carry no token: whoever another file left behind would renew theirs first. */
export function somebody(permissions: string[] = ['*']) {
  const pinia = createPinia()
  setActivePinia(pinia)
  const session = useSession()
  session.state = 'out'
  session.me = { username: 'admin', permissions } as Me
  return pinia
}

const nothing = { render: () => null }

/** At `address`, which the router knows as it does in the console, by somebody with these permissions. */
export async function mounted(
  component: Component,
  { props = {}, address = '/', permissions = ['*'] } = {} as {
    props?: Record<string, unknown>
    address?: string
    permissions?: string[]
  },
) {
  const routes = features.flatMap((feature) => feature.routes).map(({ path, name }) => ({ path, name }))
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [...routes, { path: '/:rest(.*)*' }].map((route) => ({ ...route, component: nothing })),
  })
  await router.push(address)
  const pinia = somebody(permissions)
  const queryClient = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  const wrapper = mount(component, {
    attachTo: document.body,
    props,
    global: { plugins: [pinia, i18n, router, [VueQueryPlugin, { queryClient }]] },
  })
  await flushPromises()
  return { wrapper, router, queries: queryClient }
}

/** What is drawn anywhere, also in dialogs, which stand outside of what was mounted. */
export const button = (name: string) =>
  [...document.querySelectorAll<HTMLButtonElement>('button')].find(
    (one) => (one.getAttribute('aria-label') ?? one.textContent?.trim()) === name,
  )
export async function press(name: string) {
  await vi.waitFor(() => {
    if (!button(name)) throw new Error(`no button ${name} in: ${document.body.textContent}`)
  })
  button(name)!.click()
  await flushPromises()
}
export async function type(field: string, text: string) {
  const input = document.querySelector<HTMLInputElement>(`[name="${field}"]`)!
  input.value = text
  input.dispatchEvent(new Event('input'))
  await flushPromises()
}
