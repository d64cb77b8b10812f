// The numbers of one key in the shared time range. Of a key days are kept, no hours.
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api } from '@/api/client'
import { Problem } from '@/api/problem'
import { useLive, useTimeRange } from '@/kit'

export function useTokenUsage(id: () => string) {
  const range = useTimeRange()
  const live = useLive()
  const asked = computed(() => ({ ...range.query.value, token_id: id() }))
  const overview = useQuery({
    queryKey: computed(() => ['usage', 'overview', asked.value]),
    placeholderData: keepPreviousData,
    refetchInterval: live.interval,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/stats/overview', { params: { query: asked.value }, signal })),
  })
  const trend = useQuery({
    queryKey: computed(() => ['usage', 'trend', asked.value, 'day']),
    placeholderData: keepPreviousData,
    refetchInterval: live.interval,
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/stats/trend', { params: { query: { ...asked.value, by: 'day' } }, signal })),
  })
  return {
    range: range.label,
    overview: overview.data,
    trend: trend.data,
    problem: computed(() => {
      const cause = overview.error.value ?? trend.error.value
      return cause ? Problem.from(cause) : null
    }),
    retry: () => Promise.all([overview.refetch(), trend.refetch()]),
  }
}
