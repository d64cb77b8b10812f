// A secret is shown once: neither a key nor a way out of the page takes it away before it was saved.
import { flushPromises, mount } from '@vue/test-utils'
import { afterEach, describe, expect, it } from 'vitest'
import { defineComponent, h, ref } from 'vue'
import { createMemoryHistory, createRouter, RouterView } from 'vue-router'
import Drawer from './Drawer.vue'
import SecretDialog from './SecretDialog.vue'
import { useShortcuts } from './useShortcuts'

const mounted: { unmount: () => void }[] = []
afterEach(() => {
  mounted.splice(0).forEach((wrapper) => wrapper.unmount())
  document.body.replaceChildren()
})

/** A page in the console's place, with a secret and a drawer that may be open. */
async function page() {
  const app = document.createElement('div')
  document.body.append(app)
  const secret = ref<string | null>(null)
  const drawn = ref(false)
  const pressed: string[] = []
  const steps: number[] = []
  const walk = { hasPrevious: true, hasNext: true, step: (by: number) => void steps.push(by) }
  const Page = defineComponent({
    setup() {
      useShortcuts(() => ({
        '?': () => pressed.push('?'),
        'g a': () => pressed.push('g a'),
        'g k': () => pressed.push('g k'),
      }))
      return () => [
        h(SecretDialog, {
          secret: secret.value,
          title: 'A new key',
          body: 'Once',
          onDone: () => (secret.value = null),
        }),
        h(Drawer, { open: drawn.value, title: 'A key', walk }),
      ]
    },
  })
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [
      { path: '/', component: Page },
      { path: '/other', component: { render: () => h('p') } },
    ],
  })
  await router.push('/')
  await router.push('/?new=1')
  mounted.push(mount(RouterView, { global: { plugins: [router] }, attachTo: app }))
  await flushPromises()
  const press = (...keys: string[]) => {
    const from = document.activeElement ?? document.body
    for (const key of keys) from.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }))
  }
  const leaves = () => dispatchEvent(new Event('beforeunload', { cancelable: true }))
  return { router, secret, drawn, pressed, steps, press, leaves }
}

describe('a secret that is shown', () => {
  it('is not left by a shortcut, by Back or by closing the tab, until it is saved', async () => {
    const { router, secret, pressed, press, leaves } = await page()
    secret.value = 'sk-stw-1'
    await flushPromises()
    document.querySelector<HTMLElement>('[role=dialog] button')!.focus()
    press('?', 'g', 'a')
    expect(pressed).toEqual([])
    await router.push('/other')
    router.back()
    await flushPromises()
    expect(router.currentRoute.value.fullPath).toBe('/?new=1')
    // The page itself is done with its form.
    await router.push('/')
    expect(router.currentRoute.value.fullPath).toBe('/')
    expect(leaves()).toBe(false)

    document.querySelector<HTMLElement>('[role=checkbox], [type=checkbox]')!.click()
    await flushPromises()
    ;[...document.querySelectorAll<HTMLElement>('[role=dialog] button')].at(-1)!.click()
    await flushPromises()
    expect(secret.value).toBeNull()
    press('?')
    expect(pressed).toEqual(['?'])
    expect(leaves()).toBe(true)
    await router.push('/other')
    expect(router.currentRoute.value.path).toBe('/other')
  })
})

it('a sequence that leads to a page leaves the list where it is, a key by itself walks it', async () => {
  const { drawn, pressed, steps, press } = await page()
  drawn.value = true
  await flushPromises()
  press('g', 'k')
  expect([pressed, steps]).toEqual([['g k'], []])
  press('k', 'j')
  expect(steps).toEqual([-1, 1])
})

it('a drawer beside its list leaves the shortcuts as they are', async () => {
  const { drawn, pressed, press } = await page()
  drawn.value = true
  await flushPromises()
  press('g', 'a')
  expect(pressed).toEqual(['g a'])
})
