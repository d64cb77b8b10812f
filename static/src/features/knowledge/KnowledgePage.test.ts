// A list whose rows can be ticked: what is ticked stays while rows are opened, what is typed is not lost, and what is
// done to many is meant.
import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type Asked, button, json, mounted, play, press, type } from '@/testing'
import BulkDialog from './BulkDialog.vue'
import KnowledgePage from './KnowledgePage.vue'
import NewPair from './NewPair.vue'
import PairDrawer from './PairDrawer.vue'
import { useKnowledge } from './useKnowledge'

const pair = (id: string) => ({
  id,
  tenant_id: 'ten_1',
  tenant_name: 'Kimono',
  question: `Question ${id}`,
  answer: `Answer ${id}`,
  category: '',
  source: 'manual',
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
})
const root = '/api/v1/ops/knowledge/qa-pairs'
const pairs = ({ path }: Asked): Response | undefined => {
  if (path === root) return json({ items: [pair('a'), pair('b')], total: 2, total_is_exact: true })
  return path.startsWith(`${root}/`) ? json(pair(path.slice(root.length + 1)), 200, { etag: '"1"' }) : undefined
}
beforeEach(() => {
  for (const side of ['offsetHeight', 'clientHeight', 'offsetWidth'] as const)
    vi.spyOn(HTMLElement.prototype, side, 'get').mockReturnValue(420)
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})
const dialogs = () => [...document.querySelectorAll('[role=dialog]')].map((one) => one.textContent)

it('what is ticked stays while a row is opened and closed, and goes with another filter', async () => {
  play(pairs)
  const { wrapper, router } = await mounted(KnowledgePage, { address: '/knowledge' })
  const boxes = () => [...document.querySelectorAll<HTMLInputElement>('[role=grid] input[type=checkbox]')]
  const ticked = () => boxes().map((box) => box.checked)
  await vi.waitFor(() => expect(boxes()).toHaveLength(2))
  boxes()[0]!.click()
  await flushPromises()
  await router.push('/knowledge/b')
  await flushPromises()
  expect(ticked()).toEqual([true, false])
  await router.push('/knowledge')
  await flushPromises()
  expect(ticked()).toEqual([true, false])
  await router.push('/knowledge?source=manual')
  await vi.waitFor(() => expect(ticked()).toEqual([false, false]))
  wrapper.unmount()
})

it('a pair that is asked for last is the one that is edited', async () => {
  let held: (() => void) | undefined
  let editing = false
  play((asked) => {
    const found = pairs(asked)
    if (!editing || asked.path !== `${root}/a`) return found
    return new Promise((go) => (held = () => go(found)))
  })
  const props = { id: 'a', categories: [], changed: () => Promise.resolve() }
  const { wrapper } = await mounted(PairDrawer, { props, address: '/knowledge/a' })
  await vi.waitFor(() => expect(button('Edit')).toBeDefined())
  editing = true
  await press('Edit')
  await vi.waitFor(() => expect(held).toBeDefined())
  // Somebody walks on before the answer is here.
  await wrapper.setProps({ id: 'b' })
  await vi.waitFor(() => expect(document.body.textContent).toContain('Answer b'))
  held!()
  await flushPromises()
  expect(dialogs()).toHaveLength(1)
  expect(document.querySelector('form')).toBeNull()
  wrapper.unmount()
})

it('a new pair that is half written is not lost by Escape', async () => {
  play(pairs)
  const ask = vi.fn(() => false)
  vi.stubGlobal('confirm', ask)
  const Page = {
    components: { NewPair },
    setup: () => ({ create: useKnowledge().create }),
    data: () => ({ open: true }),
    template: '<NewPair v-if="open" v-model:open="open" :create="create" :categories="[]" :tenants="undefined" />',
  }
  const { wrapper } = await mounted(Page, { address: '/knowledge?new=1' })
  await vi.waitFor(() => expect(document.querySelector('[name=question]')).not.toBeNull())
  await type('question', 'When do you open?')
  const escape = async () => {
    document
      .querySelector('[role=dialog]')!
      .dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, cancelable: true }))
    await flushPromises()
  }
  await escape()
  expect(ask).toHaveBeenCalledOnce()
  expect(document.querySelector<HTMLInputElement>('[name=question]')!.value).toBe('When do you open?')
  ask.mockReturnValue(true)
  await escape()
  await vi.waitFor(() => expect(document.querySelector('[name=question]')).toBeNull())
  wrapper.unmount()
})

it('all that a filter finds is deleted when the word is typed, a selection by a click', async () => {
  const asked = play(({ path }) => (path === `${root}/bulk` ? json({ job: { id: 'job_1' } }, 202) : undefined))
  const sent = () => asked.filter(({ path }) => path === `${root}/bulk`).map(({ body }) => body)
  const submit = async () => {
    document.querySelector('#change-pairs')!.dispatchEvent(new Event('submit', { cancelable: true }))
    await flushPromises()
  }
  const props = { action: 'delete', ids: ['a'], filter: { source: 'manual' }, found: 40, categories: [] }
  const { wrapper } = await mounted(BulkDialog, { props, address: '/knowledge' })
  document.querySelector<HTMLElement>('[name=all]')!.click()
  await flushPromises()
  await submit()
  expect([sent(), button('Delete')!.disabled]).toEqual([[], true])
  await type('typed-word', 'delete')
  expect(button('Delete')!.disabled).toBe(false)
  await submit()
  expect(sent()).toEqual([{ action: 'delete', filter: { source: 'manual' } }])
  wrapper.unmount()
  document.body.innerHTML = ''

  const few = await mounted(BulkDialog, { props, address: '/knowledge' })
  expect(document.querySelector('[name=typed-word]')).toBeNull()
  await submit()
  expect(sent().at(-1)).toEqual({ action: 'delete', ids: ['a'] })
  few.wrapper.unmount()
})
