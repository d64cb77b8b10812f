// What is shown to be read: differences, payloads as they came, how far a job is.
import { flushPromises, mount } from '@vue/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { json, mounted, play, refused } from '@/testing'
import Diff from './Diff.vue'
import JobProgress from './JobProgress.vue'
import JsonTree from './JsonTree.vue'

afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

describe('Diff', () => {
  async function lines(before: unknown, after: unknown) {
    const wrapper = mount(Diff, { props: { before, after } })
    await vi.waitFor(() => expect(wrapper.findAll('[role=region] > div').length).toBeGreaterThan(0))
    return wrapper.findAll('[role=region] > div').map((line) => ({
      seen: line.find('[aria-hidden]').element.nextSibling!.textContent!.trim(),
      sign: line.find('[aria-hidden]').text(),
      spoken: line.find('.sr-only').text(),
    }))
  }

  it('tells line by line what went and what came, to the eye and to a screen reader', async () => {
    expect(await lines({ rpm: 60, name: 'a' }, { rpm: 77, name: 'a' })).toEqual([
      { sign: '', seen: '{', spoken: '' },
      { sign: '-', seen: '"rpm": 60,', spoken: 'removed:' },
      { sign: '+', seen: '"rpm": 77,', spoken: 'added:' },
      { sign: '', seen: '"name": "a"', spoken: '' },
      { sign: '', seen: '}', spoken: '' },
    ])
  })

  it('compares text as text, and nothing with something', async () => {
    expect((await lines('a\nb', 'a\nc')).map(({ sign, seen }) => sign + seen)).toEqual(['a', '-b', '+c'])
    expect((await lines(null, 'new')).map(({ sign, seen }) => sign + seen)).toEqual(['+new'])
  })

  it('says that nothing differs instead of showing a text in which nobody finds a change', () => {
    const said = (before: unknown, after: unknown) => mount(Diff, { props: { before, after } }).text()
    expect(said({ rpm: 60 }, { rpm: 60 })).toBe('Nothing differs')
    expect(said(null, undefined)).toBe('Nothing differs')
  })
})

describe('JsonTree', () => {
  const shown = (value: unknown) => mount(JsonTree, { props: { value, label: 'Body' } }).get('code').element.textContent
  it.each(['{"model": "gpt', 'data: [DONE]', '<html>502</html>', '{"a":1}{"b":2}'])('shows %s as it came', (raw) =>
    expect(shown(raw)).toBe(raw),
  )
  it('sets for reading what does parse, text or not', () => {
    expect(shown('{"a":1}')).toBe('{\n  "a": 1\n}')
    expect(shown({ a: 1 })).toBe('{\n  "a": 1\n}')
  })
})

describe('JobProgress', () => {
  it('asks every second until the job has ended, and then no more', async () => {
    vi.useFakeTimers()
    const states = ['queued', 'running', 'failed']
    const asked = play(() => {
      const state = states[Math.min(asked.length, states.length) - 1]
      return json({ id: 'job_1', state, progress: 40, error: state === 'failed' ? 'the disk is full' : null })
    })
    const { wrapper } = await mounted(JobProgress, { props: { jobId: 'job_1' } })
    await vi.advanceTimersByTimeAsync(0)
    expect(wrapper.text()).toContain('waiting')
    await vi.advanceTimersByTimeAsync(1_000)
    expect(wrapper.text()).toContain('running')
    await vi.advanceTimersByTimeAsync(1_000)
    expect(wrapper.text()).toMatch(/failed[^]*the disk is full/)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(asked).toHaveLength(3)
    wrapper.unmount()
  })

  it('tells a refusal, and asks again when it is told to', async () => {
    let known = false
    play(() => (known ? json({ id: 'job_1', state: 'succeeded', progress: 100 }) : refused(404, 'not_found')))
    const { wrapper } = await mounted(JobProgress, { props: { jobId: 'job_1' } })
    await flushPromises()
    expect(wrapper.find('[role=alert]').exists()).toBe(true)
    known = true
    await wrapper.get('button').trigger('click')
    await flushPromises()
    expect(wrapper.find('[role=alert]').exists()).toBe(false)
    expect(wrapper.get('[role=status]').text()).toContain('100')
    wrapper.unmount()
  })
})
