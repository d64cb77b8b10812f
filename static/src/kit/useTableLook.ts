// Which columns a table shows and how roomy its rows are: what the address says, else what this browser keeps. Where
// that differs from how the table comes, the address says it, so that one that is sent shows the same.
import { useLocalStorage } from '@vueuse/core'
import { computed, watch } from 'vue'
import { type LocationQueryRaw, useRoute } from 'vue-router'
import { type Density, usePreferences } from '@/preferences'
import { useAddress } from './useAddress'

export interface Look {
  /** Keys of the columns left out; null: as the table comes. */
  hidden: string[] | null
  density: Density
}
/** How roomy rows are at first. */
const usual: Density = 'compact'

export function useTableLook(
  tableId: string,
  columns: () => readonly { key: string; hiddenAtFirst?: boolean }[],
  /** Whether there is something to look at; until then nothing is written. */
  stands: () => boolean = () => true,
) {
  const route = useRoute()
  const write = useAddress()
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
  watch(
    () =>
      stands() && Object.entries(said(look.value)).some(([key, value]) => value !== undefined && !(key in route.query)),
    // A view that is being applied is kept by the time it is written.
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
