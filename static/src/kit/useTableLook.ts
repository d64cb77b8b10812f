// Which columns a table shows and how roomy its rows are: what the address says, else what this browser keeps. Where
// that differs from how the table comes, the address says it, so that one that is sent shows the same.
import { useLocalStorage } from '@vueuse/core'
import { computed, onScopeDispose, watch } from 'vue'
import { type LocationQueryRaw, useRoute, useRouter } from 'vue-router'
import { type Density, usePreferences } from '@/preferences'

export interface Look {
  /** Keys of the columns left out; null: as the table comes. */
  hidden: string[] | null
  density: Density
}
/** How roomy rows are at first. */
const usual: Density = 'compact'
/** Tables of one page write to one address: one after the other, or one would take away what the other wrote. */
let written: Promise<unknown> = Promise.resolve()

export function useTableLook(
  tableId: string,
  columns: () => readonly { key: string; hiddenAtFirst?: boolean }[],
  /** Whether there is something to look at; until then nothing is written. */
  stands: () => boolean = () => true,
) {
  const router = useRouter()
  const route = useRoute()
  const preferences = usePreferences()
  const stored = useLocalStorage<string[] | null>(`steward.columns.${tableId}`, null)
  const param = `cols.${tableId}`
  const keysBut = (left: readonly string[]) =>
    columns()
      .map((column) => column.key)
      .filter((key) => !left.includes(key))
  const hiddenAtFirst = () => columns().flatMap((column) => (column.hiddenAtFirst ? [column.key] : []))

  const look = computed<Look>(() => {
    const { [param]: shown, density } = route.query
    const left = typeof shown === 'string' ? keysBut(shown.split(',')) : null
    return {
      // An address that leaves nothing is of another console.
      hidden: left && left.length < columns().length ? left : stored.value,
      density: density === 'comfortable' || density === usual ? density : preferences.density,
    }
  })
  /** What an address says of a look. */
  const said = ({ hidden, density }: Look): LocationQueryRaw => {
    const shown = keysBut(hidden ?? hiddenAtFirst()).join(',')
    return {
      [param]: shown === keysBut(hiddenAtFirst()).join(',') ? undefined : shown,
      density: density === usual ? undefined : density,
    }
  }
  function keep(next: Look) {
    stored.value = next.hidden && [...next.hidden]
    preferences.density = next.density
  }
  // Whoever is about to leave is not held back.
  let isLeaving = false
  onScopeDispose(router.beforeEach((to, from) => void (isLeaving = to.matched.at(-1) !== from.matched.at(-1))))
  // Nor is one who was held back still leaving.
  onScopeDispose(router.afterEach((_to, _from, failure) => void (isLeaving &&= !failure)))
  /** What is to be said is asked when its turn has come: a view that is being applied is kept by then. */
  function write(what: () => LocationQueryRaw) {
    const next = async () => {
      if (!isLeaving) await router.replace({ query: { ...router.currentRoute.value.query, ...what() } })
    }
    written = written.then(next).catch(() => undefined)
  }
  watch(
    () =>
      stands() && Object.entries(said(look.value)).some(([key, value]) => value !== undefined && !(key in route.query)),
    (isSilent) => isSilent && write(() => said(look.value)),
    { immediate: true },
  )
  function choose(part: Partial<Look>) {
    const next = { ...look.value, ...part }
    write(() => said(next))
    keep(next)
  }
  return { look, said, keep, choose }
}
export type TableLook = ReturnType<typeof useTableLook>
