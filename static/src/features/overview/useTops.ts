// The lists of those that call most. They move slowly and cost the server most, so that they are asked for seldom.
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'
import type { LocationQueryRaw } from 'vue-router'
import { answer, api } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components } from '@/api/schema'
import { useLive, useTimeRange } from '@/kit'
import { usePreferences } from '@/preferences'

type Item = components['schemas']['TopItem']
const lines = 6
const seldomMs = 30_000

const filters = {
  model: (item: Item): LocationQueryRaw => ({
    model: item.name,
    ...(item.provider ? { provider: item.provider } : {}),
  }),
  tenant: (item: Item): LocationQueryRaw | null => (item.id ? { tenant_id: item.id } : null),
  app: (item: Item): LocationQueryRaw => ({ app: item.name }),
  user: (item: Item): LocationQueryRaw => ({ user: item.name }),
}

export function useTops(enabled: Ref<boolean>) {
  const range = useTimeRange()
  const live = useLive()
  const preferences = usePreferences()
  const asked = computed(() => ({ ...range.query.value, currency: preferences.currency }))
  const interval = computed(() => (live.interval.value === false ? false : Math.max(live.interval.value, seldomMs)))
  const top = (by: keyof typeof filters) => {
    const query = useQuery({
      queryKey: computed(() => ['tops', by, asked.value]),
      enabled,
      placeholderData: keepPreviousData,
      refetchInterval: interval,
      queryFn: ({ signal }) =>
        answer(api.GET('/api/v1/stats/top', { params: { query: { ...asked.value, by, limit: lines } }, signal })),
    })
    const problem = computed(() => (query.error.value ? Problem.from(query.error.value) : null))
    return {
      by,
      items: computed(() => query.data.value?.items),
      filter: filters[by],
      problem,
      /** Rankings span tenants; whoever may not see them is not told of them. */
      isWithheld: computed(() => problem.value?.status === 403),
      retry: () => query.refetch(),
    }
  }
  return [top('model'), top('tenant'), top('app'), top('user')]
}
