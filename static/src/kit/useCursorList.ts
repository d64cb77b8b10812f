// A long list by cursor: pages are fetched as they come into view and forgotten when they are far away, so that a
// list of any length holds a bounded number of rows. A forgotten page is fetched again by the cursor that led to it.
// At the polling interval it looks for what is new; a page that hears news of its topic calls `again` as well.
import { computed, onScopeDispose, type Ref, ref, shallowRef, triggerRef, watch } from 'vue'
import { useIntervalFn } from '@vueuse/core'
import { Problem } from '@/api/problem'
import { useLive, watched } from '@/live/polling'

export interface CursorPage<T> {
  items: T[]
  next_cursor?: string | null
  total?: number | null
  total_is_exact?: boolean
}
interface Stored<T> {
  cursor: string | null
  first: number
  count: number
  items: T[] | null
}

export function useCursorList<T>(options: {
  /** The list starts anew when this changes. */
  key: Ref<string>
  fetchPage: (cursor: string | null, signal: AbortSignal) => Promise<CursorPage<T>>
  rowKey: (row: T) => string
  /** Newer rows come first: they are announced to who reads further down. */
  newestFirst?: () => boolean
  /** Newer rows wait, also for who stands at the top. */
  isHeld?: () => boolean
  /** Pages kept around what is in view. */
  keepPages?: number
}) {
  const keep = options.keepPages ?? 12
  const pages = shallowRef<Stored<T>[]>([])
  const next = ref<string | null>(null)
  const loading = ref(true)
  const refreshing = ref(false)
  const more = ref(false)
  const problem = shallowRef<Problem | null>(null)
  const total = ref<number | null>(null)
  const totalIsExact = ref(false)
  /** Newer rows than the first one shown, known since the last look. */
  const fresh = ref(0)
  let abort = new AbortController()
  let inFlight = new Set<string>()
  let isAtTop = () => true
  /** Of the first row shown; its page may have been forgotten. */
  let firstKey: string | undefined
  const holds: (() => boolean)[] = []
  const isHeld = () => holds.some((is) => is()) || Boolean(options.isHeld?.())

  const count = computed(() => {
    const last = pages.value.at(-1)
    return last ? last.first + last.count : 0
  })
  const pageAt = (index: number): Stored<T> | undefined => {
    let low = 0
    let high = pages.value.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const page = pages.value[middle]!
      if (index < page.first) high = middle - 1
      else if (index >= page.first + page.count) low = middle + 1
      else return page
    }
    return undefined
  }
  const at = (index: number): T | undefined => {
    const page = pageAt(index)
    return page?.items?.[index - page.first]
  }
  const ended = (cause: unknown) => cause instanceof DOMException && cause.name === 'AbortError'

  async function fetchInto(cursor: string | null, use: (page: CursorPage<T>) => void): Promise<void> {
    const name = cursor ?? ''
    if (inFlight.has(name)) return
    const mine = abort
    const flights = inFlight
    flights.add(name)
    try {
      const page = await watched(options.fetchPage(cursor, mine.signal))
      if (mine !== abort) return
      use(page)
      problem.value = null
    } catch (cause) {
      if (mine === abort && !ended(cause)) problem.value = Problem.from(cause)
    } finally {
      flights.delete(name)
    }
  }
  function append(cursor: string | null, page: CursorPage<T>) {
    if (page.items.length > 0) {
      if (count.value === 0) firstKey = options.rowKey(page.items[0]!)
      pages.value.push({ cursor, first: count.value, count: page.items.length, items: page.items })
      triggerRef(pages)
    }
    next.value = page.next_cursor ?? null
  }
  /** Rows `first..=last` are in view; the table that shows them tells whether it stands at its top. */
  function need(first: number, last: number, tableIsAtTop?: () => boolean) {
    isAtTop = tableIsAtTop ?? isAtTop
    // What is shown while another list is on its way leads nowhere any more.
    if (loading.value || refreshing.value) return
    const [from, to] = [pageAt(first), pageAt(last)]
    const middle = pages.value.indexOf((from ?? to ?? pages.value.at(-1))!)
    pages.value.forEach((page, index) => {
      const near = Math.abs(index - middle) <= keep / 2
      if (!near) page.items = null
      else if (page.items === null && page.first <= last && page.first + page.count > first) {
        void fetchInto(page.cursor, (again) => {
          // A row deleted meanwhile leaves a gap of one at the page's end, never a shifted list.
          page.items = again.items.slice(0, page.count)
          triggerRef(pages)
        })
      }
    })
    if (next.value !== null && last >= count.value - 20 && !problem.value) void fetchMore()
  }
  async function fetchMore() {
    if (next.value === null || more.value) return
    more.value = true
    const [cursor, mine] = [next.value, abort]
    await fetchInto(cursor, (page) => append(cursor, page))
    if (mine === abort) more.value = false
  }
  async function restart() {
    abort.abort()
    const mine = (abort = new AbortController())
    inFlight = new Set()
    more.value = false
    next.value = null
    problem.value = null
    refreshing.value = pages.value.length > 0
    loading.value = pages.value.length === 0
    await fetchInto(null, (page) => {
      pages.value = []
      append(null, page)
      total.value = page.total ?? null
      totalIsExact.value = page.total_is_exact ?? false
      fresh.value = 0
    })
    // One that was given up leaves the waiting to its successor.
    if (mine !== abort) return
    loading.value = false
    refreshing.value = false
  }
  /**
   * Looks for newer rows without moving those in view; shows them at once when the list stands at its top. Rows that
   * are shown already tell what they are now, wherever they stand.
   */
  async function look(atTop: boolean) {
    if (loading.value) return
    await fetchInto(null, (page) => {
      const keys = page.items.map(options.rowKey)
      const head = pages.value[0]
      const isSame =
        head?.items?.length === keys.length && head.items.every((row, index) => options.rowKey(row) === keys[index])
      if (!head || (atTop && !isSame)) {
        pages.value = []
        append(null, page)
        fresh.value = 0
      } else {
        const now = new Map(page.items.map((row, index) => [keys[index], row]))
        for (const held of pages.value)
          held.items = held.items?.map((row) => now.get(options.rowKey(row)) ?? row) ?? null
        triggerRef(pages)
        const known = keys.indexOf(firstKey ?? '')
        fresh.value = options.newestFirst?.() ? (known < 0 ? keys.length : known) : 0
      }
      total.value = page.total ?? null
      totalIsExact.value = page.total_is_exact ?? false
    })
  }
  /** The rows of a page as they are now. Those that are gone are left out; what is new, or was the next page's, is not taken in. */
  function asItIsNow(before: T[], again: T[]): T[] {
    const now = new Map(again.map((row) => [options.rowKey(row), row]))
    const known = new Set(before.map(options.rowKey))
    const found = before.map((row) => now.get(options.rowKey(row)))
    // As many as are new at the head have left the page at its end, and are there still.
    const pushedOut = Math.max(
      0,
      again.findIndex((row) => known.has(options.rowKey(row))),
    )
    const last = found.findLastIndex((row) => row !== undefined)
    return before.flatMap((row, at) => found[at] ?? (at > last && at >= before.length - pushedOut ? [row] : []))
  }
  /**
   * Reads what is held again where it stands, after one of the rows was changed or removed: whoever stands further down
   * stays there. What is new is not looked for.
   */
  async function refresh() {
    const shown = pages.value.filter((page) => page.items !== null)
    if (loading.value || pages.value.length < 2) return restart()
    await Promise.all(
      shown.map((page) =>
        fetchInto(page.cursor, (again) => {
          page.items = asItIsNow(page.items ?? [], again.items)
          if (page.cursor !== null) return
          total.value = again.total ?? null
          totalIsExact.value = again.total_is_exact ?? false
        }),
      ),
    )
    let first = 0
    pages.value.forEach((page) => {
      Object.assign(page, { first, count: page.items?.length ?? page.count })
      first += page.count
    })
    firstKey = pages.value[0]?.items?.[0] ? options.rowKey(pages.value[0].items[0]) : firstKey
    triggerRef(pages)
  }
  /** How many rows are held, not how many there are. */
  const held = computed(() => pages.value.reduce((sum, page) => sum + (page.items?.length ?? 0), 0))

  const live = useLive()
  function again() {
    if (live.interval.value !== false) void look(isAtTop() && !isHeld())
  }
  useIntervalFn(
    again,
    computed(() => live.interval.value || 60_000),
  )
  // After a pause, or back in a tab that was hidden, nobody waits for the next time.
  watch(live.interval, (_now, before) => before === false && again())

  watch(options.key, restart, { immediate: true })
  onScopeDispose(() => abort.abort())
  return {
    /** What it is a list of: another one is read from its first row. */
    key: computed(() => options.key.value),
    count,
    at,
    need,
    fetchMore,
    restart,
    refresh,
    /** Newer rows wait as long as this says so. */
    holdWhile: (is: () => boolean) => void holds.push(is),
    look,
    again,
    loading,
    refreshing,
    more,
    hasMore: computed(() => next.value !== null),
    problem,
    total,
    totalIsExact,
    fresh,
    held,
  }
}
export type CursorList<T> = ReturnType<typeof useCursorList<T>>
