// What a call was given of the tenant's knowledge leads to it; why it was given nothing is said.
import { afterEach, expect, it, vi } from 'vitest'
import { json, mounted, play } from '@/testing'
import RequestDrawer from './RequestDrawer.vue'

afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
const call = {
  id: 'a',
  model: 'gpt-4o',
  operation: 'chat',
  request_at: '2026-03-04T12:00:00Z',
  response_at: '2026-03-04T12:00:01Z',
  status_code: 200,
  duration_ms: 9,
  attempts: [],
}
const said = () => document.body.textContent!
const drawer = (knowledge: object | null) => {
  play(({ path }) => (path === '/api/v1/logs/requests/a' ? json({ ...call, knowledge }) : undefined))
  return mounted(RequestDrawer, { props: { id: 'a' }, address: '/requests/a' })
}

it('names the pairs a call was given, and leads to those that are there', async () => {
  const pairs = [
    { id: 'qa_1', question: 'How do I book?' },
    { id: 'qa_2', question: null },
  ]
  const { wrapper } = await drawer({ outcome: 'used', pairs })
  await vi.waitFor(() => expect(said()).toContain('How do I book?'))
  const links = [...document.querySelectorAll('a')].filter((one) => one.textContent === 'How do I book?')
  expect(links.map((one) => one.getAttribute('href'))).toEqual(['/knowledge/qa_1'])
  expect(said()).toContain('qa_2 · This pair is gone')
  wrapper.unmount()
})

it.each([
  [{ outcome: 'timed_out', pairs: [] }, 'nothing was found in time'],
  [{ outcome: 'a later word', pairs: [] }, 'a later word'],
])('says why there are none: %o', async (knowledge, why) => {
  const { wrapper } = await drawer(knowledge)
  await vi.waitFor(() => expect(said()).toContain(why))
  wrapper.unmount()
})

it('says nothing of it where nobody asked', async () => {
  const { wrapper } = await drawer(null)
  await vi.waitFor(() => expect(said()).toContain('gpt-4o'))
  expect(said()).not.toContain('Knowledge used')
  wrapper.unmount()
})
