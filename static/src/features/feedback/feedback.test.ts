// What is decided without a browser, and the widget, which has to run as it is pasted.
import { flushPromises } from '@vue/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { actsOf, type Feedback, partsOf, type Stats, tookMs, versionKey } from './feedback'
import { curl, widget, type Words } from './snippets'

describe('feedback', () => {
  it('offers every decision but the one that was taken', () => {
    expect(actsOf('open')).toEqual(['resolve', 'reject', 'approve'])
    expect(actsOf('approved')).toEqual(['resolve', 'reject', 'reopen'])
  })
  it('tells how long somebody took', () => {
    const it = { created_at: '2026-01-01T00:00:00Z', handled_at: '2026-01-01T00:01:30Z' } as Feedback
    expect(tookMs(it)).toBe(90_000)
    expect(tookMs({ ...it, handled_at: null })).toBeNull()
  })
  it('narrows the list to what a row of the statistics is about', () => {
    const part = { total: 3, pending: 1, good: 2, bad: 1, avg_rating: 3.5, good_rate: 0.66 }
    const stats = {
      by_model: [{ ...part, name: 'gpt-4o' }],
      by_category: [{ ...part, name: null }],
      by_prompt: [{ ...part, prompt: { name: 'support/first', version: 3 } }],
    } as Stats
    expect(partsOf(stats, 'by_model')[0]!.filter).toEqual({ key: 'model', value: 'gpt-4o' })
    expect(partsOf(stats, 'by_category')[0]).toMatchObject({ name: null, filter: null, total: 3 })
    expect(partsOf(stats, 'by_prompt')[0]!.filter).toEqual({ key: 'prompt', value: 'support/first@3' })
    expect(versionKey({ name: 'a', version: 1 })).toBe('a@1')
  })
})

describe('the widget', () => {
  const words: Words = {
    helpful: 'Was this </script> helpful?',
    up: 'Yes',
    down: 'No',
    wrong: 'What should it have said?',
    send: 'Send',
    thanks: 'Thank you!',
    failed: 'That could not be sent.',
  }
  /** As a page would have it. */
  function pasted(): { root: HTMLElement; sent: { url: string; body: unknown; authorization: string | null }[] } {
    const script = widget('https://steward.example', words)
    const body = script.replace(/^<script>/, '').replace(/<\/script>$/, '')
    const ask = new Function(`${body}; return stewardFeedback`)() as (
      element: HTMLElement,
      requestId: string,
      userToken: () => Promise<string>,
    ) => void
    const root = document.createElement('div')
    document.body.append(root)
    const sent: { url: string; body: unknown; authorization: string | null }[] = []
    vi.stubGlobal('fetch', async (url: string, asked: { body: string; headers: Record<string, string> }) => {
      sent.push({ url, body: JSON.parse(asked.body), authorization: asked.headers.authorization ?? null })
      return new Response('{}', { status: sent.length === 3 ? 429 : 201 })
    })
    ask(root, 'req_1', async () => 'jwt')
    return { root, sent }
  }
  const button = (root: HTMLElement, name: string) =>
    [...root.querySelectorAll('button')].find((one) => one.textContent === name)!
  afterEach(() => {
    document.body.innerHTML = ''
    vi.unstubAllGlobals()
  })

  it('ends its script only where it ends', () => {
    const script = widget('https://steward.example', words)
    expect(script.match(/<\/script>/g)).toHaveLength(1)
  })

  it('sends a thumb, then what should have been said, as the user who is there, and says what became of it', async () => {
    const { root, sent } = pasted()
    expect(root.textContent).toContain('Was this </script> helpful?')
    expect(root.querySelector('form')!.hidden).toBe(true)
    button(root, 'No').click()
    await flushPromises()
    expect(sent[0]).toEqual({
      url: 'https://steward.example/api/v1/feedback',
      body: { request_id: 'req_1', rating: 'down' },
      authorization: 'Bearer jwt',
    })
    expect(root.querySelector('form')!.hidden).toBe(false)
    root.querySelector('textarea')!.value = ' 6 '
    root.querySelector('form')!.dispatchEvent(new Event('submit', { cancelable: true }))
    await flushPromises()
    expect(sent[1]!.body).toMatchObject({ rating: 'down', correction: '6' })
    expect(root.textContent).toContain('Thank you!')
    button(root, 'Yes').click()
    await flushPromises()
    expect(root.textContent).toContain('That could not be sent.')
  })

  it('is told to servers with a key, to pages without', () => {
    expect(curl('https://steward.example')).toContain('sk-stw-')
    expect(widget('https://steward.example', words)).not.toContain('sk-stw-')
  })
})
