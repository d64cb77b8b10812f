import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { json, mounted, play, press, refused } from '@/testing'
import SupervisionPage from './SupervisionPage.vue'
import type { TreeNode } from './tree'

beforeEach(() => {
  vi.useFakeTimers({ shouldAdvanceTime: true })
  // A box for the rows, which nothing lays out here.
  for (const side of ['offsetHeight', 'clientHeight', 'offsetWidth'] as const)
    vi.spyOn(HTMLElement.prototype, side, 'get').mockReturnValue(420)
})
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

const node = (id: string, restarts: number, children: TreeNode[] = []) =>
  ({
    id,
    kind: children.length > 0 ? 'group' : 'actor',
    state: 'running',
    restarts,
    children,
    epoch: 1,
    depth: 0,
    capacity: 64,
    processed: 0,
  }) as TreeNode

it.each(['tree', 'table'])('marks in the %s what changed, for ten seconds and more looks than one', async (view) => {
  let restarts = 0
  play(({ path }) =>
    path.endsWith('/tree') ? json(node('root', 0, [node('root/still', 0), node('root/hit', restarts)])) : undefined,
  )
  const { wrapper, queries } = await mounted(SupervisionPage, { address: `/supervision?view=${view}` })
  const look = async () => {
    await queries.refetchQueries({ queryKey: ['supervision', 'tree'] })
    await flushPromises()
  }
  const marked = () =>
    [...document.querySelectorAll('[role=row].bg-warn-soft')].map((row) => /still|hit/.exec(row.textContent!)?.[0])
  await vi.waitFor(() => expect(document.querySelectorAll('[role=row]').length).toBeGreaterThan(2))
  expect(marked()).toEqual([])
  restarts = 1
  await look()
  expect(marked()).toEqual(['hit'])
  await vi.advanceTimersByTimeAsync(2_000)
  await look()
  expect(marked()).toEqual(['hit'])
  await vi.advanceTimersByTimeAsync(15_000)
  expect(marked()).toEqual([])
  wrapper.unmount()
})

it.each([
  ['root/still', 'Restart still?'],
  ['root', 'Restart root?'],
])('asks once before %s is restarted, and says what is kept', async (path, title) => {
  const asked = play(({ line, path: at }) => {
    if (at.endsWith('/tree')) return json(node('root', 0, [node('root/still', 0), node('root/hit', 0)]))
    return line.startsWith('POST') ? json({}) : undefined
  })
  const restarts = () => asked.filter(({ line }) => line.startsWith('POST')).map(({ line }) => line)
  const { wrapper } = await mounted(SupervisionPage, { address: `/supervision/${path}` })
  await press('Restart')
  await vi.waitFor(() => expect(document.body.textContent).toContain(title))
  const question = [...document.querySelectorAll('[role=dialog], [role=alertdialog]')].at(-1)!
  expect(question.textContent).toMatch(/Waiting messages are kept.*records are safe/)
  expect(restarts()).toEqual([])
  ;[...question.querySelectorAll('button')].find((one) => one.textContent!.trim() === 'Restart')!.click()
  await vi.waitFor(() =>
    expect(restarts()).toEqual([`POST /api/v1/supervision/actors/${encodeURIComponent(path)}/restart`]),
  )
  wrapper.unmount()
})

describe('the loss ledger', () => {
  const ledger = { accepted: 12, stored: 9, spooled: 1, dead_lettered: 1, dropped: 1, balanced: true }
  const shown = async (answer: () => Response) => {
    play(({ path }) =>
      path.endsWith('/tree') ? json(node('root', 0)) : path.endsWith('/ledger') ? answer() : undefined,
    )
    const { wrapper } = await mounted(SupervisionPage, { address: '/supervision' })
    const section = () => document.querySelector<HTMLElement>('[aria-labelledby=ledger-title]')!
    await vi.waitFor(() => expect(section().textContent).toMatch(/accepted1|refused/))
    return { wrapper, section }
  }

  it('says why it is not told, and asks again', async () => {
    let isRefused = true
    const { wrapper, section } = await shown(() => (isRefused ? refused(500, 'refused_by_test') : json(ledger)))
    expect(section().textContent).toContain('refused_by_test')
    expect(section().querySelector('dl')).toBeNull()
    isRefused = false
    await press('Try again')
    await vi.waitFor(() => expect(section().textContent).toContain('12'))
    expect(section().textContent).not.toContain('refused_by_test')
    wrapper.unmount()
  })

  it('says that it does not balance', async () => {
    const { wrapper, section } = await shown(() => json({ ...ledger, accepted: 1_200, balanced: false }))
    expect(section().textContent).toContain('The equation does not hold')
    expect([...section().querySelectorAll('dd')].map((term) => term.textContent!.replace(/\s+/g, ''))).toEqual([
      '1,200',
      '=9',
      '+1',
      '+1',
      '+1',
    ])
    wrapper.unmount()
  })
})
