// What is typed, and what the page is told of it.
import { mount } from '@vue/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { h } from 'vue'
import { button, mounted, press } from '@/testing'
import DateTimeField from './DateTimeField.vue'
import FilterBar from './FilterBar.vue'
import TagsField from './TagsField.vue'
import TimeRange from './TimeRange.vue'
import { type FilterSpec, useFilters } from './useFilters'

afterEach(() => {
  document.body.innerHTML = ''
  sessionStorage.clear()
  vi.unstubAllEnvs()
})

describe('TagsField', () => {
  function field(words: string[]) {
    const wrapper = mount(TagsField, {
      props: {
        modelValue: words,
        label: 'Models',
        suggestions: ['gpt-4o', 'o3'],
        'onUpdate:modelValue': (now: string[]) => wrapper.setProps({ modelValue: now }),
      },
    })
    const now = () => wrapper.props('modelValue')
    const input = wrapper.get('input')
    // As a person does: nothing is told before a key or leaving says so.
    const write = (text: string) => {
      input.element.value = text
      return input.trigger('input')
    }
    return { wrapper, now, input, write, key: (name: string) => input.trigger('keydown', { key: name }) }
  }

  it('leaves Enter and Backspace to the input method while one composes', async () => {
    const { now, input, write } = field(['a'])
    const composing = (key: string) => input.trigger('keydown', { key, isComposing: true })
    await composing('Backspace')
    await write('zhong')
    await composing('Enter')
    expect(now()).toEqual(['a'])
  })

  it('adds by Enter, by either comma, by leaving, and several at once, but nothing twice', async () => {
    const { now, input, write, key } = field(['a'])
    for (const [typed, by] of [
      ['b', 'Enter'],
      ['c', ','],
      ['d', '，'],
      [' a  e，f ', 'Enter'],
    ] as const) {
      await write(typed)
      await key(by)
    }
    expect(now()).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
    await write('g')
    await input.trigger('blur')
    expect(now().at(-1)).toBe('g')
    expect(input.element.value).toBe('')
  })

  it('does not send the form it stands in while there is a word to add, and does when there is none', async () => {
    const { input, write } = field([])
    const enter = () => {
      const event = new KeyboardEvent('keydown', { key: 'Enter', cancelable: true })
      input.element.dispatchEvent(event)
      return event.defaultPrevented
    }
    await write('a')
    expect(enter()).toBe(true)
    expect(enter()).toBe(false)
  })

  it('takes the last away by Backspace in the empty box alone, and any by its button', async () => {
    const { wrapper, now, write, key } = field(['a', 'b', 'c'])
    await write('x')
    await key('Backspace')
    expect(now()).toEqual(['a', 'b', 'c'])
    await write('')
    await key('Backspace')
    expect(now()).toEqual(['a', 'b'])
    await wrapper.get('button[aria-label="Remove a"]').trigger('click')
    expect(now()).toEqual(['b'])
  })

  it('suggests what is not chosen yet', () => {
    const { wrapper } = field(['o3'])
    expect(wrapper.findAll('option').map((one) => one.attributes('value'))).toEqual(['gpt-4o'])
  })
})

describe('DateTimeField', () => {
  it.each([
    ['UTC', '2026-03-04T12:30'],
    ['Asia/Shanghai', '2026-03-04T20:30'],
    ['America/St_Johns', '2026-03-04T09:00'],
    ['Pacific/Auckland', '2026-03-05T01:30'],
  ])('shows and reads the time of %s, and keeps UTC', async (zone, local) => {
    vi.stubEnv('TZ', zone)
    const wrapper = mount(DateTimeField, { props: { modelValue: '2026-03-04T12:30:00Z', label: 'Ends' } })
    const input = wrapper.get('input')
    expect(input.element.value).toBe(local)
    await input.setValue(local)
    expect(wrapper.emitted('update:modelValue')!.at(-1)).toEqual(['2026-03-04T12:30:00.000Z'])
  })

  it('is nothing when it is emptied, and shows nothing of what is no time', async () => {
    const wrapper = mount(DateTimeField, { props: { modelValue: '2026-03-04T12:30:00Z', label: 'Ends' } })
    await wrapper.get('input').setValue('')
    expect(wrapper.emitted('update:modelValue')!.at(-1)).toEqual([null])
    await wrapper.setProps({ modelValue: 'tomorrow' })
    expect(wrapper.get('input').element.value).toBe('')
  })
})

const submit = () =>
  document.querySelector('form')!.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }))
async function fill(element: HTMLInputElement | HTMLSelectElement, value: string) {
  element.value = value
  element.dispatchEvent(new Event(element instanceof HTMLSelectElement ? 'change' : 'input'))
  await Promise.resolve()
}

describe('TimeRange', () => {
  it('asks for a beginning, takes an end, and puts both into the address beside what stands there', async () => {
    vi.stubEnv('TZ', 'UTC')
    const { wrapper, router } = await mounted(TimeRange, { address: '/requests?model=o3&range=7d' })
    const shown = wrapper.get('button')
    expect(shown.text()).toBe('Last 7 days')
    await shown.trigger('click')
    const [from, to] = [...document.querySelectorAll<HTMLInputElement>('input[type=datetime-local]')]
    expect(button('Apply')!.disabled).toBe(true)
    await fill(to!, '2026-03-05T00:00')
    submit()
    expect(router.currentRoute.value.query.range).toBe('7d')
    await fill(from!, '2026-03-04T00:00')
    await vi.waitFor(() => expect(button('Apply')!.disabled).toBe(false))
    submit()
    await vi.waitFor(() =>
      expect(router.currentRoute.value.query).toEqual({
        model: 'o3',
        from: '2026-03-04T00:00:00.000Z',
        to: '2026-03-05T00:00:00.000Z',
      }),
    )
    // It is opened with what is in force, and a range without an end goes on.
    await shown.trigger('click')
    const again = [...document.querySelectorAll<HTMLInputElement>('input[type=datetime-local]')]
    expect(again.map((one) => one.value)).toEqual(['2026-03-04T00:00', '2026-03-05T00:00'])
    await fill(again[1]!, '')
    submit()
    await vi.waitFor(() => expect(router.currentRoute.value.query.to).toBeUndefined())
    expect(shown.text()).toContain('now')
    wrapper.unmount()
  })
})

describe('FilterBar', () => {
  const specs: FilterSpec[] = [
    {
      key: 'state',
      label: 'State',
      kind: 'select',
      options: [
        { value: 'on', label: 'Turned on' },
        { value: 'off', label: 'Turned off' },
      ],
    },
    { key: 'app', label: 'App', kind: 'text' },
  ]
  const Bar = { setup: () => () => h(FilterBar, { specs, filters: useFilters(() => specs), search: 'Search' }) }
  const selects = () => [...document.querySelectorAll('select')]

  it('adds a filter to the address, as a chip that takes it away again', async () => {
    const { wrapper, router } = await mounted(Bar, { address: '/tokens?range=7d' })
    const query = () => router.currentRoute.value.query
    await press('Filter')
    // The first one's first value is chosen, so that a choice is one click.
    expect(selects().map((one) => one.value)).toEqual(['state', 'on'])
    await fill(selects()[1]!, 'off')
    submit()
    await vi.waitFor(() => expect(query()).toEqual({ range: '7d', state: 'off' }))
    expect(wrapper.text()).toContain('Turned off')

    await press('Filter')
    await fill(selects()[0]!, 'app')
    await vi.waitFor(() => expect(selects()).toHaveLength(1))
    expect(button('Apply')!.disabled).toBe(true)
    await fill(document.querySelector<HTMLInputElement>('form input')!, ' shop ')
    await vi.waitFor(() => expect(button('Apply')!.disabled).toBe(false))
    submit()
    await vi.waitFor(() => expect(query()).toEqual({ range: '7d', state: 'off', app: 'shop' }))

    await press('Remove State')
    await vi.waitFor(() => expect(query()).toEqual({ range: '7d', app: 'shop' }))
    wrapper.unmount()
  })
})
