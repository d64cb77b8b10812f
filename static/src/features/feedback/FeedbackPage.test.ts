// A list that is filtered by the address, a drawer with what was said beside it, and decisions that say what they did.
import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { button, json, mounted, play, press, refused, type, type Asked } from '@/testing'
import FeedbackPage from './FeedbackPage.vue'

const given = {
  id: 'fbk_1',
  request_id: '0198-1',
  rating: 1,
  category: 'wrong',
  comment: 'It said five.',
  correction: 'It is six.',
  status: 'open',
  model: 'gpt-4o',
  prompt: { name: 'support/first', version: 3 },
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
  version: 1,
}
beforeEach(() => {
  // A box for the rows, which nothing lays out here.
  for (const side of ['offsetHeight', 'clientHeight', 'offsetWidth'] as const)
    vi.spyOn(HTMLElement.prototype, side, 'get').mockReturnValue(420)
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
const text = () => document.body.textContent ?? ''
const posts = (asked: Asked[]) =>
  asked
    .filter(({ line }) => line.startsWith('POST'))
    .map(({ line, body, headers }) => [line, body, headers.get('if-match')])

function server(row: () => typeof given, kept = true) {
  return ({ line, path }: Asked) => {
    if (path === '/api/v1/feedback') return json({ items: [row()], total: 1, total_is_exact: true })
    if (line === 'GET /api/v1/feedback/fbk_1')
      return json({ ...row(), conversation_kept: kept }, 200, { etag: `"${row().version}"` })
    if (path === '/api/v1/conversations/0198-1')
      return json({ id: '0198-1', redaction: 'none', prompt: 'What is 2 × 3?', completion: 'It is five.' })
    return undefined
  }
}

it('asks for what the address says', async () => {
  const asked = play(server(() => given))
  const { wrapper } = await mounted(FeedbackPage, {
    address: '/feedback?status=open&rating_max=2&has_correction=true&prompt=support/first@3&range=7d',
  })
  await vi.waitFor(() => expect(text()).toContain('It said five.'))
  const list = asked.find(({ path }) => path === '/api/v1/feedback')!
  const query = new URLSearchParams(list.line.split('?')[1])
  expect(Object.fromEntries(query)).toMatchObject({
    status: 'open',
    rating_max: '2',
    has_correction: 'true',
    prompt: 'support/first@3',
    range: '7d',
  })
  expect(text()).toContain('support/first v3')
  wrapper.unmount()
})

it('shows what was said only when it is asked for, and says why there is nothing to show', async () => {
  const asked = play(server(() => given))
  const { wrapper } = await mounted(FeedbackPage, { address: '/feedback/fbk_1' })
  await vi.waitFor(() => expect(text()).toContain('It is six.'))
  const read = () => asked.filter(({ path }) => path.startsWith('/api/v1/conversations')).length
  expect(read()).toBe(0)
  await press('Show the conversation')
  await vi.waitFor(() => expect(text()).toContain('What is 2 × 3?'))
  expect(read()).toBe(1)
  wrapper.unmount()
  document.body.innerHTML = ''

  play(server(() => given, false))
  const other = await mounted(FeedbackPage, { address: '/feedback/fbk_1' })
  await vi.waitFor(() => expect(text()).toContain('The conversation was not kept'))
  other.wrapper.unmount()
})

it('resolves with a note that must not be empty, from what was shown', async () => {
  let row = given
  const asked = play((one) => {
    if (one.line === 'POST /api/v1/feedback/fbk_1/resolve') {
      row = { ...row, status: 'resolved', version: 2 }
      return json(row)
    }
    return server(() => row)(one)
  })
  const { wrapper } = await mounted(FeedbackPage, { address: '/feedback/fbk_1' })
  await press('Resolve')
  await vi.waitFor(() => expect(document.querySelector('[name=note]')).not.toBeNull())
  const form = () => document.querySelector<HTMLFormElement>('#settle-feedback')!
  form().dispatchEvent(new Event('submit', { cancelable: true }))
  await vi.waitFor(() => expect(text()).toContain('Say what was done.'))
  expect(posts(asked)).toEqual([])
  await type('note', 'Prompt corrected')
  form().dispatchEvent(new Event('submit', { cancelable: true }))
  await vi.waitFor(() => expect(button('Open again')).toBeDefined())
  expect(posts(asked)).toEqual([['POST /api/v1/feedback/fbk_1/resolve', { note: 'Prompt corrected' }, '"1"']])
  wrapper.unmount()
})

it('shows how it stands when somebody else was first', async () => {
  let row = given
  const asked = play((one) => {
    if (one.line.startsWith('POST')) {
      row = { ...row, status: 'rejected', version: 2 }
      return refused(412, 'precondition_failed')
    }
    return server(() => row)(one)
  })
  const { wrapper } = await mounted(FeedbackPage, { address: '/feedback/fbk_1' })
  await press('Approve')
  await vi.waitFor(() => expect(document.querySelector('#settle-feedback')).not.toBeNull())
  document.querySelector('#settle-feedback')!.dispatchEvent(new Event('submit', { cancelable: true }))
  await vi.waitFor(() => expect(button('Open again')).toBeDefined())
  expect(posts(asked)).toHaveLength(1)
  wrapper.unmount()
})

it('who only reads decides nothing', async () => {
  play(server(() => given))
  const { wrapper } = await mounted(FeedbackPage, {
    address: '/feedback/fbk_1',
    permissions: ['read:feedback'],
  })
  await vi.waitFor(() => expect(text()).toContain('your role does not read conversations'))
  await flushPromises()
  expect([button('Approve'), button('Resolve')]).toEqual([undefined, undefined])
  wrapper.unmount()
})
