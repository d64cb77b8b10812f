// A list under a time range is empty: is there nothing yet, or nothing in this range? Asked only then, for the latest row
// of all; what is narrowed by filters as well is not searched through from its beginning.
import { useQuery } from '@tanstack/vue-query'
import { computed, type Ref, watch } from 'vue'

interface Listed {
  count: Readonly<Ref<number>>
  loading: Readonly<Ref<boolean>>
  refreshing: Readonly<Ref<boolean>>
  hasMore: Readonly<Ref<boolean>>
  problem: Readonly<Ref<unknown>>
  again: () => void
}

export function useOutside(options: {
  /** Under which the answer is kept. */
  key: string
  list: Listed
  filters: { active: Readonly<Ref<boolean>> }
  /** When the latest row of all is from, whatever the range; null: there is none. */
  latest: (signal: AbortSignal) => Promise<string | null>
}) {
  const { list, filters } = options
  const isEmpty = computed(
    () =>
      list.count.value === 0 &&
      !list.loading.value &&
      !list.refreshing.value &&
      !list.hasMore.value &&
      !list.problem.value,
  )
  const asks = computed(() => isEmpty.value && !filters.active.value)
  const query = useQuery({
    queryKey: ['outside', options.key],
    enabled: asks,
    retry: false,
    queryFn: ({ signal }) => options.latest(signal),
  })
  const latest = computed(() => (asks.value ? (query.data.value ?? null) : null))
  // It may have come since the list was read, and lie in its range.
  watch(latest, (found) => found !== null && list.again())
  return {
    /** Until it is known which of the two it is, neither is said. */
    loading: computed(() => list.loading.value || (asks.value && query.isPending.value)),
    noMatch: computed(() => filters.active.value || latest.value !== null || query.isError.value),
    latest,
  }
}
export type Outside = ReturnType<typeof useOutside>
