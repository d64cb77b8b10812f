import { mount } from '@vue/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { defineComponent, h } from 'vue'
import { createMemoryHistory, createRouter, RouterView } from 'vue-router'
import { useUnsaved } from './useUnsaved'

const mounted: { unmount: () => void }[] = []
afterEach(() => mounted.splice(0).forEach((wrapper) => wrapper.unmount()))

async function page(isDirty: () => boolean, answer: boolean) {
  const questions: string[] = []
  const Form = defineComponent({
    setup() {
      useUnsaved(isDirty, (question) => {
        questions.push(question)
        return answer
      })
      return () => h('form')
    },
  })
  const router = createRouter({
    history: createMemoryHistory(),
    routes: [
      { path: '/', component: Form },
      { path: '/other', component: { render: () => h('p') } },
    ],
  })
  await router.push('/')
  const wrapper = mount(RouterView, { global: { plugins: [router] } })
  mounted.push(wrapper)
  await router.isReady()
  return { router, questions, wrapper }
}

describe('useUnsaved', () => {
  it('lets a clean form go without a word', async () => {
    const { router, questions } = await page(() => false, false)
    await router.push('/other')
    expect(router.currentRoute.value.path).toBe('/other')
    expect(questions).toEqual([])
  })
  it('keeps what was typed when the answer is no, and lets go when it is yes', async () => {
    const kept = await page(() => true, false)
    await kept.router.push('/other')
    expect(kept.router.currentRoute.value.path).toBe('/')
    expect(kept.questions).toHaveLength(1)
    const left = await page(() => true, true)
    await left.router.push('/other')
    expect(left.router.currentRoute.value.path).toBe('/other')
  })
  it('asks before Back leads to another record of the page; what the page itself says in its address goes', async () => {
    const { router, questions } = await page(() => true, false)
    await router.push('/?new=1')
    await router.push('/?new=1&step=2')
    expect([router.currentRoute.value.fullPath, questions.length]).toEqual(['/?new=1&step=2', 0])
    router.back()
    await vi.waitFor(() => expect(questions).toHaveLength(1))
    expect(router.currentRoute.value.fullPath).toBe('/?new=1&step=2')
    await router.replace('/')
    expect([router.currentRoute.value.fullPath, questions.length]).toEqual(['/', 1])
  })
  it('holds up the closing of the tab while there is something to lose, and not after it is gone', async () => {
    let dirty = true
    const { wrapper } = await page(() => dirty, true)
    const close = () => {
      const event = new Event('beforeunload', { cancelable: true })
      window.dispatchEvent(event)
      return event.defaultPrevented
    }
    expect(close()).toBe(true)
    dirty = false
    expect(close()).toBe(false)
    dirty = true
    wrapper.unmount()
    expect(close()).toBe(false)
  })
})
