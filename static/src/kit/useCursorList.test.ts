import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { effectScope, type EffectScope, nextTick, ref } from 'vue'
import { Problem } from '@/api/problem'
import { useLive } from '@/live/polling'
import { usePreferences } from '@/preferences'
import { type CursorPage, useCursorList } from './useCursorList'

interface Row {
  id: number
  state?: string
}
const pageSize = 10
const settle = async () => {
  for (let turn = 0; turn < 10; turn++) await nextTick()
}
let scope: EffectScope | undefined
beforeEach(() => setActivePinia(createPinia()))
afterEach(() => {
  scope?.stop()
  vi.useRealTimers()
})

/** A list of `length` rows at a server; its cursors are row numbers. */
function listOf(length: number, keepPages?: number) {
  const asked: (string | null)[] = []
  const signals: AbortSignal[] = []
  const server = { first: 0, state: 'waiting', fail: false as boolean, hold: null as Promise<void> | null }
  const key = ref('a')
  const newestFirst = ref(true)
  scope = effectScope()
  const list = scope.run(() =>
    useCursorList<Row>({
      key,
      keepPages,
      newestFirst: () => newestFirst.value,
      rowKey: (row) => String(row.id),
      fetchPage: async (cursor, signal): Promise<CursorPage<Row>> => {
        asked.push(cursor)
        signals.push(signal)
        if (server.hold) await server.hold
        if (signal.aborted) throw new DOMException('given up', 'AbortError')
        if (server.fail) throw new Problem(503, 'overloaded', 'Busy', '', 'req-1')
        const from = cursor === null ? server.first : Number(cursor)
        const to = Math.min(length, from + pageSize)
        return {
          items: Array.from({ length: to - from }, (_, at) => ({ id: from + at, state: server.state })),
          next_cursor: to < length ? String(to) : null,
          total: length,
          total_is_exact: true,
        }
      },
    }),
  )!
  return { list, asked, signals, server, key, newestFirst }
}
type Listed = ReturnType<typeof listOf>['list']
async function scrollTo(list: Listed, row: number) {
  while (list.count.value <= row) {
    list.need(list.count.value - 1, list.count.value - 1)
    await settle()
  }
  list.need(row, row)
  await settle()
}

describe('a list by cursor', () => {
  it('fetches the next page as its end comes into view, and stops at the last', async () => {
    const { list, asked } = listOf(25)
    await settle()
    expect(list.count.value).toBe(10)
    list.need(0, 9)
    await settle()
    expect(asked).toEqual([null, '10'])
    await scrollTo(list, 24)
    expect(asked).toEqual([null, '10', '20'])
    expect(list.hasMore.value).toBe(false)
    list.need(20, 24)
    await settle()
    expect(asked).toHaveLength(3)
    expect(list.at(24)).toMatchObject({ id: 24 })
  })

  it('holds a bounded number of rows of a long list', async () => {
    const { list } = listOf(1_000, 4)
    await settle()
    await scrollTo(list, 990)
    expect(list.count.value).toBe(1_000)
    expect(list.held.value).toBeLessThanOrEqual(5 * pageSize)
    expect(list.at(0)).toBeUndefined()
  })

  it('fetches a forgotten page again by the cursor that led to it', async () => {
    const { list, asked } = listOf(200, 4)
    await settle()
    await scrollTo(list, 199)
    expect(list.at(35)).toBeUndefined()
    asked.length = 0
    list.need(30, 39)
    await settle()
    expect(asked).toEqual(['30'])
    expect(list.at(35)).toMatchObject({ id: 35 })
  })

  it('asks for nothing by the place where another list was left', async () => {
    const { list, asked, server, key } = listOf(25)
    await settle()
    let go = () => {}
    server.hold = new Promise((done) => (go = done))
    asked.length = 0
    key.value = 'b'
    await nextTick()
    void list.fetchMore()
    list.need(0, 9)
    await settle()
    go()
    await settle()
    expect(asked).toEqual([null])
    expect([list.count.value, list.hasMore.value]).toEqual([10, true])
  })

  it('leaves the rows where they are as long as one of them is open', async () => {
    const { list, server } = listOf(1_000)
    await settle()
    const open = ref(true)
    list.holdWhile(() => open.value)
    list.need(0, 9, () => true)
    await scrollTo(list, 15)
    list.need(0, 9, () => true)
    const before = list.count.value
    server.first = 7
    list.again()
    await settle()
    expect([list.at(0)?.id, list.count.value]).toEqual([0, before])
    open.value = false
    list.again()
    await settle()
    expect([list.at(0)?.id, list.count.value]).toEqual([7, 10])
  })

  it('reads a changed row anew where it stands', async () => {
    const { list, server, asked } = listOf(45)
    await settle()
    await scrollTo(list, 25)
    server.state = 'done'
    asked.length = 0
    await list.refresh()
    expect(asked).toEqual([null, '10', '20', '30'])
    expect(list.count.value).toBe(40)
    expect(list.at(25)).toEqual({ id: 25, state: 'done' })
    expect(list.at(29)?.id).toBe(29)
  })

  it('keeps what newer rows have pushed over the end of the first page', async () => {
    const { list, server } = listOf(45)
    server.first = 3
    list.restart()
    await settle()
    list.need(9, 9)
    await settle()
    server.first = 0
    const before = Array.from({ length: list.count.value }, (_, at) => list.at(at)?.id)
    expect(before.length).toBeGreaterThan(10)
    await list.refresh()
    expect(Array.from({ length: list.count.value }, (_, at) => list.at(at)?.id)).toEqual(before)
  })

  it('closes the gap that a removed row leaves', async () => {
    const { list, server } = listOf(45)
    await settle()
    await scrollTo(list, 25)
    // The first of all is gone: its page goes on to the next one's first.
    server.first = 1
    await list.refresh()
    const ids = Array.from({ length: list.count.value }, (_, at) => list.at(at)?.id)
    expect(ids).toEqual(Array.from({ length: 39 }, (_, at) => at + 1))
    await scrollTo(list, 40)
    expect(list.at(40)?.id).toBe(41)
  })

  it('gives up what it asked for when the key changes', async () => {
    const { list, signals, server, key } = listOf(25)
    await settle()
    let go = () => {}
    server.hold = new Promise((done) => (go = done))
    list.need(0, 9)
    await nextTick()
    key.value = 'b'
    await nextTick()
    expect(signals[1]?.aborted).toBe(true)
    expect(signals[2]?.aborted).toBe(false)
    go()
    await settle()
    expect(list.count.value).toBe(10)
    expect(list.problem.value).toBeNull()
  })

  it('gives up when its page is left', async () => {
    const { signals } = listOf(25)
    scope?.stop()
    expect(signals[0]?.aborted).toBe(true)
  })

  it('says what failed, asks no more by itself, and recovers when told', async () => {
    const { list, asked, server } = listOf(25)
    await settle()
    server.fail = true
    list.need(0, 9)
    await settle()
    expect(list.problem.value?.code).toBe('overloaded')
    list.need(0, 9)
    await settle()
    expect(asked).toHaveLength(2)
    server.fail = false
    await list.restart()
    expect(list.problem.value).toBeNull()
    expect(list.count.value).toBe(10)
  })

  it('announces newer rows to somebody reading, and shows them to somebody at the top', async () => {
    const { list, server } = listOf(25)
    server.first = 3
    await list.restart()
    server.first = 0
    await list.look(false)
    expect(list.fresh.value).toBe(3)
    expect(list.at(0)).toMatchObject({ id: 3 })
    await list.look(true)
    expect(list.fresh.value).toBe(0)
    expect(list.at(0)).toMatchObject({ id: 0 })
  })

  it('waits until its latest question is answered: a given-up one does not end the waiting', async () => {
    const { list, server, key } = listOf(0)
    await settle()
    expect(list.loading.value).toBe(false)
    const ends: (() => void)[] = []
    for (const next of ['b', 'c']) {
      server.hold = new Promise((done) => ends.push(done))
      key.value = next
      await nextTick()
    }
    ends[0]!()
    await settle()
    expect(list.loading.value).toBe(true)
    ends[1]!()
    await settle()
    expect(list.loading.value).toBe(false)
  })

  it('tells what shown rows are now, also to somebody reading further down, and keeps their pages', async () => {
    const { list, server } = listOf(25)
    await settle()
    await scrollTo(list, 12)
    server.state = 'done'
    await list.look(false)
    expect([list.at(3), list.at(12)]).toEqual([
      { id: 3, state: 'done' },
      { id: 12, state: 'waiting' },
    ])
    server.state = 'gone'
    await list.look(true)
    expect([list.count.value, list.at(3)?.state]).toEqual([25, 'gone'])
  })

  it('knows what is new also when its first page was forgotten', async () => {
    const { list, server } = listOf(1_000, 4)
    server.first = 3
    await list.restart()
    await scrollTo(list, 900)
    expect(list.at(0)).toBeUndefined()
    server.first = 0
    await list.look(false)
    expect(list.fresh.value).toBe(3)
  })

  it('announces nothing where newer rows come anywhere', async () => {
    const { list, server, newestFirst } = listOf(25)
    newestFirst.value = false
    server.first = 3
    await list.restart()
    server.first = 0
    await list.look(false)
    expect(list.fresh.value).toBe(0)
  })

  it('looks by itself at the polling interval, as far as its table stands, and not while paused', async () => {
    vi.useFakeTimers()
    usePreferences().pollingSeconds = 10
    const { list, asked, server } = listOf(25)
    await settle()
    let top = false
    list.need(0, 5, () => top)
    await settle()
    asked.length = 0
    server.first = -1
    await vi.advanceTimersByTimeAsync(10_000)
    expect([asked, list.fresh.value, list.at(0)?.id]).toEqual([[null], 1, 0])
    top = true
    await vi.advanceTimersByTimeAsync(10_000)
    expect([asked.length, list.fresh.value, list.at(0)?.id]).toEqual([2, 0, -1])
    useLive().paused.value = true
    await vi.advanceTimersByTimeAsync(300_000)
    expect(asked).toHaveLength(2)
    useLive().paused.value = false
    await settle()
    expect(asked).toHaveLength(3)
  })
})
