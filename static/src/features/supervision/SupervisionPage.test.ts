import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { json, mounted, play, press } from '@/testing'
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
