// What was typed is not lost by a key, a click beside the form, or Back.
import { flushPromises } from '@vue/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { computed, defineComponent, h, ref } from 'vue'
import { button, mounted, type } from '@/testing'
import Dialog from './Dialog.vue'
import { useDirty } from './useUnsaved'

afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})

/** A form in a dialog, and somebody who answers whether it may go. */
async function form(answer: boolean) {
  const questions: string[] = []
  vi.stubGlobal('confirm', (question: string) => {
    questions.push(question)
    return answer
  })
  const open = ref(true)
  const Page = defineComponent({
    setup() {
      const typed = ref('')
      const isDirty = useDirty(
        () => typed.value,
        () => open.value,
      )
      const props = computed(() => ({ open: open.value, dirty: isDirty.value, title: 'A form' }))
      return () =>
        h(Dialog, { ...props.value, 'onUpdate:open': (now: boolean) => (open.value = now) }, () =>
          h('form', [h('input', { name: 'it', value: typed.value, onInput: read })]),
        )
      function read(event: Event) {
        typed.value = (event.target as HTMLInputElement).value
      }
    },
  })
  const page = await mounted(Page, { address: '/tokens' })
  return { ...page, questions, open }
}
const escape = async () => {
  document
    .querySelector('[role=dialog]')!
    .dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, cancelable: true }))
  await flushPromises()
}

describe('a dialog with a form', () => {
  it('closes without a word while nothing was typed', async () => {
    const { wrapper, open, questions } = await form(false)
    await escape()
    expect([open.value, questions]).toEqual([false, []])
    wrapper.unmount()
  })

  it('asks before Escape and its cross take away what was typed', async () => {
    const { wrapper, open, questions } = await form(false)
    await type('it', 'half a page')
    await escape()
    expect([open.value, questions.length]).toEqual([true, 1])
    button('Close')!.click()
    await flushPromises()
    expect([open.value, questions.length]).toEqual([true, 2])
    expect(document.querySelector<HTMLInputElement>('[name=it]')!.value).toBe('half a page')
    wrapper.unmount()
  })

  it('goes when it may, and asks no second time', async () => {
    const { wrapper, open, questions } = await form(true)
    await type('it', 'a')
    await escape()
    expect([open.value, questions.length]).toEqual([false, 1])
    wrapper.unmount()
  })

  it('is not what it was opened with any more once that was typed again', async () => {
    const { wrapper, questions } = await form(false)
    await type('it', 'a')
    await type('it', '')
    await escape()
    expect(questions).toEqual([])
    wrapper.unmount()
  })
})
