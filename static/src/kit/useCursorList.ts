// A long list by cursor: pages are fetched as they come into view and forgotten when they are far away, so that a
// list of any length holds a bounded number of rows. A forgotten page is fetched again by the cursor that led to it.
import { computed, onScopeDispose, type Ref, ref, shallowRef, triggerRef, watch } from 'vue'
import { Problem } from '@/api/problem'

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
      const page = await options.fetchPage(cursor, mine.signal)
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
      pages.value.push({ cursor, first: count.value, count: page.items.length, items: page.items })
      triggerRef(pages)
    }
    next.value = page.next_cursor ?? null
  }
  /** Rows `first..=last` are in view. */
  function need(first: number, last: number) {
    if (loading.value) return
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
    const cursor = next.value
    await fetchInto(cursor, (page) => append(cursor, page))
    more.value = false
  }
  async function restart() {
    abort.abort()
    abort = new AbortController()
    inFlight = new Set()
    more.value = false
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
    loading.value = false
    refreshing.value = false
  }
  /** Looks for newer rows without moving those in view; shows them at once when the list stands at its top. */
  async function look(atTop: boolean) {
    if (loading.value) return
    await fetchInto(null, (page) => {
      const first = at(0)
      const known = first ? page.items.findIndex((row) => options.rowKey(row) === options.rowKey(first)) : -1
      if (atTop || pages.value.length === 0) {
        pages.value = []
        append(null, page)
        fresh.value = 0
      } else {
        fresh.value = known < 0 ? page.items.length : known
      }
      total.value = page.total ?? null
      totalIsExact.value = page.total_is_exact ?? false
    })
  }
  /** How many rows are held, not how many there are. */
  const held = computed(() => pages.value.reduce((sum, page) => sum + (page.items?.length ?? 0), 0))

  watch(options.key, restart, { immediate: true })
  onScopeDispose(() => abort.abort())
  return {
    count,
    at,
    need,
    fetchMore,
    restart,
    look,
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
