// Saved views of a table: its filters and order (what the URL says beside the time range), its columns and its
// density, under a name. Kept in this browser for each operator; an address shares one with a colleague.
import { useLocalStorage } from '@vueuse/core'
import { computed } from 'vue'
import { type LocationQuery, useRoute, useRouter } from 'vue-router'
import { useSession } from '@/session'
import type { Look, TableLook } from './useTableLook'

export interface View extends Look {
  name: string
  query: Record<string, string>
}

/** The time range is shared by all pages and moves on; a view does not hold it. */
const range = ['range', 'from', 'to']
/** What of the address a view holds apart. */
const isLook = (key: string) => key === 'density' || key.startsWith('cols.')
export const viewQuery = (query: LocationQuery): Record<string, string> =>
  Object.fromEntries(
    Object.entries(query).filter(
      (pair): pair is [string, string] => typeof pair[1] === 'string' && !range.includes(pair[0]) && !isLook(pair[0]),
    ),
  )
const kept = (query: LocationQuery) => Object.fromEntries(Object.entries(query).filter(([key]) => range.includes(key)))
const sorted = (record: Record<string, string>) => JSON.stringify(Object.entries(record).sort())

export function useViews(tableId: string, { look, said, keep }: TableLook) {
  const route = useRoute()
  const router = useRouter()
  const session = useSession()
  const stored = useLocalStorage<View[]>(() => `steward.views.${session.me?.username ?? ''}.${tableId}`, [])
  const now = (name: string): View => ({
    name,
    query: viewQuery(route.query),
    hidden: look.value.hidden && [...look.value.hidden],
    density: look.value.density,
  })
  const isNow = (view: View) =>
    sorted(view.query) === sorted(viewQuery(route.query)) &&
    JSON.stringify(view.hidden && [...view.hidden].sort()) ===
      JSON.stringify(look.value.hidden && [...look.value.hidden].sort()) &&
    view.density === look.value.density
  return {
    views: computed(() => [...stored.value].sort((a, b) => a.name.localeCompare(b.name))),
    /** The view that is shown, if one is. */
    current: computed(() => stored.value.find(isNow)?.name ?? null),
    /** Under a name that exists, the view is replaced. */
    save(name: string) {
      const called = name.trim()
      if (called) stored.value = [...stored.value.filter((view) => view.name !== called), now(called)]
    },
    remove(name: string) {
      stored.value = stored.value.filter((view) => view.name !== name)
    },
    async apply(view: View) {
      await router.push({ query: { ...kept(route.query), ...view.query, ...said(view) } })
      keep(view)
    },
  }
}
