// The small parts, mounted as a page mounts them.
import { mount } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { effectScope, nextTick } from 'vue'
import { Problem } from '@/api/problem'
import { useNow } from './clock'
import ConfirmByName from './ConfirmByName.vue'
import Copy from './Copy.vue'
import FormErrors from './FormErrors.vue'
import Menu from './Menu.vue'
import RelativeTime from './RelativeTime.vue'

afterEach(() => {
  document.body.innerHTML = ''
  vi.useRealTimers()
})

describe('FormErrors', () => {
  const refused = (...fields: string[]) =>
    new Problem(
      422,
      'invalid',
      'Invalid',
      'Some fields are wrong',
      null,
      fields.map((field) => ({ field, message: `${field} is wrong`, code: 'invalid' })),
    )
  const shown = ['name']

  it('is silent without a problem, and about fields that tell themselves', () => {
    expect(mount(FormErrors, { props: { problem: null, shown } }).text()).toBe('')
    expect(mount(FormErrors, { props: { problem: refused('name'), shown } }).text()).toBe('')
  })

  it('tells what no field of the form tells', () => {
    const wrapper = mount(FormErrors, { props: { problem: refused('name', 'limits'), shown } })
    expect(wrapper.get('[role=alert]').text()).toContain('Some fields are wrong')
    expect(wrapper.findAll('li').map((item) => item.text())).toEqual(['limits limits is wrong'])
  })

  it('tells a refusal that names no field', () => {
    const wrapper = mount(FormErrors, { props: { problem: refused(), shown } })
    expect(wrapper.get('[role=alert]').text()).toBe('Some fields are wrong')
  })
})

describe('ConfirmByName', () => {
  const button = () => document.querySelector<HTMLButtonElement>('button[type=submit]')!
  const field = () => document.querySelector<HTMLInputElement>('input[name=typed-name]')!
  async function type(text: string) {
    field().value = text
    field().dispatchEvent(new Event('input'))
    await nextTick()
  }
  const show = async () => {
    const wrapper = mount(ConfirmByName, {
      attachTo: document.body,
      props: { open: true, title: 'Delete', name: 'house key', consequence: 'It is gone.', actionLabel: 'Delete it' },
    })
    await nextTick()
    return wrapper
  }

  it('acts only when the name is typed', async () => {
    const wrapper = await show()
    expect(button().disabled).toBe(true)
    await type('house')
    expect(button().disabled).toBe(true)
    document.querySelector('form')!.dispatchEvent(new Event('submit', { cancelable: true }))
    expect(wrapper.emitted('confirm')).toBeUndefined()
    await type(' house key ')
    expect(button().disabled).toBe(false)
    document.querySelector('form')!.dispatchEvent(new Event('submit', { cancelable: true }))
    expect(wrapper.emitted('confirm')).toHaveLength(1)
    wrapper.unmount()
  })

  it('does not remember what was typed for the one before', async () => {
    const wrapper = await show()
    await type('house key')
    await wrapper.setProps({ open: false })
    await wrapper.setProps({ open: true })
    await nextTick()
    expect(button().disabled).toBe(true)
    wrapper.unmount()
  })
})

describe('Copy', () => {
  const clipboard = (writeText: (text: string) => Promise<void>) =>
    vi.stubGlobal('navigator', { clipboard: { writeText } })
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.unstubAllGlobals())
  const told = (wrapper: ReturnType<typeof mount>) => wrapper.get('[role=status]').text()
  const click = async (wrapper: ReturnType<typeof mount>) => {
    await wrapper.get('button').trigger('click')
    await vi.advanceTimersByTimeAsync(0)
  }

  it('copies, says so, and stops saying so', async () => {
    const writeText = vi.fn(async () => undefined)
    clipboard(writeText)
    const wrapper = mount(Copy, { props: { text: 'sk-1' } })
    await click(wrapper)
    expect(writeText).toHaveBeenCalledWith('sk-1')
    expect(told(wrapper)).toBe('Copied')
    await vi.advanceTimersByTimeAsync(2_000)
    expect(told(wrapper)).toBe('')
  })

  it('can be shown as it is after copying, without having copied', () => {
    expect(told(mount(Copy, { props: { text: 'sk-1', done: true } }))).toBe('Copied')
  })

  it('does not claim what the browser refused', async () => {
    clipboard(async () => Promise.reject(new DOMException('no', 'NotAllowedError')))
    Object.assign(document, { execCommand: () => false })
    const wrapper = mount(Copy, { props: { text: 'sk-1' } })
    await click(wrapper)
    expect(told(wrapper)).toBe('')
  })

  it('takes the old way where there is no clipboard', async () => {
    vi.stubGlobal('navigator', {})
    let copied = ''
    Object.assign(document, {
      execCommand: () => {
        copied = document.querySelector('textarea')!.value
        return true
      },
    })
    const wrapper = mount(Copy, { props: { text: 'sk-1' } })
    await click(wrapper)
    expect(copied).toBe('sk-1')
    expect(document.querySelector('textarea')).toBeNull()
    expect(told(wrapper)).toBe('Copied')
  })
})

describe('RelativeTime', () => {
  it('never puts what just happened into the future, and does put there what will', () => {
    vi.useFakeTimers()
    vi.setSystemTime(Date.parse('2026-03-04T12:00:00Z'))
    const told = (at: string) => {
      const wrapper = mount(RelativeTime, { props: { at } })
      const text = wrapper.text()
      wrapper.unmount()
      return text
    }
    expect(told('2026-03-04T12:00:03Z')).toBe('now')
    expect(told('2026-03-04T11:59:50Z')).toBe('10 sec. ago')
    expect(told('2026-03-04T13:00:05Z')).toBe('in 1 hr.')
  })
})

describe('the clock', () => {
  it('is one for all, ticks while somebody looks, and stops with the last', () => {
    vi.useFakeTimers()
    vi.setSystemTime(1_000)
    const before = vi.getTimerCount()
    const [first, second] = [effectScope(), effectScope()]
    const now = first.run(() => useNow())!
    expect(second.run(() => useNow())).toBe(now)
    expect(vi.getTimerCount()).toBe(before + 1)
    expect(now.value).toBe(1_000)
    vi.advanceTimersByTime(5_000)
    expect(now.value).toBe(6_000)
    vi.spyOn(document, 'hidden', 'get').mockReturnValue(true)
    vi.advanceTimersByTime(5_000)
    expect(now.value).toBe(6_000)
    first.stop()
    expect(vi.getTimerCount()).toBe(before + 1)
    second.stop()
    expect(vi.getTimerCount()).toBe(before)
  })
})

describe('Menu', () => {
  it('tells which of several is chosen, and only of those', async () => {
    const items = [
      { label: 'Light', checked: true, run: vi.fn() },
      { label: 'Dark', checked: false, run: vi.fn() },
      { label: 'Sign out', run: vi.fn() },
    ]
    const wrapper = mount(Menu, {
      attachTo: document.body,
      props: { items },
      slots: { trigger: '<button type="button">Menu</button>' },
    })
    await wrapper.get('button').trigger('keydown', { key: 'Enter' })
    await nextTick()
    const shown = [...document.querySelectorAll<HTMLElement>('[role^=menuitem]')]
    expect(shown.map((one) => [one.getAttribute('role'), one.getAttribute('aria-checked')])).toEqual([
      ['menuitemcheckbox', 'true'],
      ['menuitemcheckbox', 'false'],
      ['menuitem', null],
    ])
    shown[1]!.click()
    await nextTick()
    expect(items.map((item) => item.run.mock.calls.length)).toEqual([0, 1, 0])
    wrapper.unmount()
  })
})
