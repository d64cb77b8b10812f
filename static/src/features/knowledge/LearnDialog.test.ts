// What was learned: taken as it was looked through, in place of the pair that asks the same unless another is chosen.
import { flushPromises } from '@vue/test-utils'
import { afterEach, expect, it, vi } from 'vitest'
import { type Asked, button, json, mounted, play, press } from '@/testing'
import LearnDialog from './LearnDialog.vue'

const root = '/api/v1/ops/knowledge'
const same = { id: 'qa_old', question: 'How much is it?', answer: 'A lot.' }
const candidate = (id: string, more: object) => ({
  id,
  tenant_id: 'ten_1',
  tenant_name: 'Kimono',
  feedback_id: 'fbk_1',
  request_id: 'r',
  rating: 1,
  question: 'How much is it?',
  answer: '3,000 yen.',
  origin: 'conversation',
  status: 'waiting',
  missing: null,
  suggested_score: 0.8,
  same: [],
  alike: null,
  feedback_count: 1,
  pair_id: null,
  decided_by: null,
  decided_at: null,
  created_at: '2026-01-01T00:00:00Z',
  version: 3,
  ...more,
})
const status = {
  auto: true,
  process_interval_seconds: 300,
  unprocessed_count: 0,
  waiting_count: 1,
  incomplete_count: 0,
  taken_count: 0,
  discarded_count: 0,
}
afterEach(() => {
  document.body.innerHTML = ''
})

async function shown(one: object) {
  const asked = play(({ path, line }: Asked) => {
    if (line.startsWith('POST')) return json(one)
    if (path === `${root}/learn/status`) return json(status)
    return path === `${root}/candidates` ? json({ items: [one], total: 1, total_is_exact: true }) : undefined
  })
  const props = {
    mayWrite: true,
    tenants: undefined,
    categories: [],
    changed: () => Promise.resolve(),
    modelValue: 'waiting',
  }
  const { wrapper } = await mounted(LearnDialog, { props, address: '/knowledge?learn=waiting' })
  await vi.waitFor(() => expect(button('Take “How much is it?”')).toBeDefined())
  return { wrapper, sent: () => asked.filter(({ line }) => line.startsWith('POST')) }
}
async function submit() {
  document.querySelector('#take-candidate')!.dispatchEvent(new Event('submit', { cancelable: true }))
  await flushPromises()
}

it('one that nobody asks yet is taken as a new pair', async () => {
  const { wrapper, sent } = await shown(candidate('qac_1', {}))
  await press('Take “How much is it?”')
  await vi.waitFor(() => expect(document.querySelector('#take-candidate')).not.toBeNull())
  expect(document.querySelector('[name=replaces]')).toBeNull()
  await submit()
  const [take] = sent()
  expect(take?.path).toBe(`${root}/candidates/qac_1/take`)
  expect(take?.body).toEqual({
    question: 'How much is it?',
    answer: '3,000 yen.',
    category: '',
    quality_score: null,
    allow_duplicate: false,
  })
  wrapper.unmount()
})

it('where a pair asks the same it is said instead of that, unless a pair of its own is chosen', async () => {
  const { wrapper, sent } = await shown(candidate('qac_2', { same: [same] }))
  await press('Take “How much is it?”')
  await vi.waitFor(() => expect(document.querySelector('[name=replaces]')).not.toBeNull())
  await submit()
  expect(sent()[0]?.body).toMatchObject({ replaces: 'qa_old', allow_duplicate: false })
  await press('Take “How much is it?”')
  await vi.waitFor(() => expect(document.querySelector('[name=replaces]')).not.toBeNull())
  const choice = document.querySelector<HTMLSelectElement>('[name=replaces]')!
  choice.value = ''
  choice.dispatchEvent(new Event('change'))
  await flushPromises()
  await submit()
  expect(sent()[1]?.body).toMatchObject({ allow_duplicate: true })
  expect(sent()[1]?.body).not.toHaveProperty('replaces')
  wrapper.unmount()
})

it('one that is discarded is not taken', async () => {
  const { wrapper, sent } = await shown(candidate('qac_3', {}))
  await press('Discard “How much is it?”')
  expect(sent().map(({ path }) => path)).toEqual([`${root}/candidates/qac_3/discard`])
  wrapper.unmount()
})

it('shows those after the first page when they are asked for, and what is alike and how often it was said', async () => {
  const first = candidate('qac_1', {
    alike: { id: 'qa_near', question: 'What does it cost?', answer: 'Much.' },
    feedback_count: 3,
  })
  const second = candidate('qac_2', { question: 'When do you open?' })
  play(({ path, line }: Asked) => {
    if (path === `${root}/learn/status`) return json(status)
    if (path !== `${root}/candidates`) return undefined
    return line.includes('cursor=next')
      ? json({ items: [second], total: 2, total_is_exact: true, next_cursor: null })
      : json({ items: [first], total: 2, total_is_exact: true, next_cursor: 'next' })
  })
  const props = {
    mayWrite: true,
    tenants: undefined,
    categories: [],
    changed: () => Promise.resolve(),
    modelValue: 'waiting',
  }
  const { wrapper } = await mounted(LearnDialog, { props, address: '/knowledge?learn=waiting' })
  await vi.waitFor(() => expect(document.body.textContent).toContain('said 3 times'))
  expect(document.body.textContent).toContain('What does it cost?')
  expect(document.body.textContent).not.toContain('When do you open?')
  press('More')
  await vi.waitFor(() => expect(document.body.textContent).toContain('When do you open?'))
  expect(button('More')).toBeUndefined()
  wrapper.unmount()
})
