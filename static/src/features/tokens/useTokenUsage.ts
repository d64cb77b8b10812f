// The numbers of one key in the shared time range, under the key's own address: there people of a tenant are told those
// of theirs, while a filter of everybody's numbers is refused to them. Days are kept for good, hours for some weeks.
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api } from '@/api/client'
import { Problem } from '@/api/problem'
import { grainOf, useLive, useTimeRange } from '@/kit'
import { usePreferences } from '@/preferences'

export function useTokenUsage(id: () => string) {
  const range = useTimeRange()
  const live = useLive()
  const preferences = usePreferences()
  const asked = computed(() => ({ ...range.query.value, currency: preferences.currency }))
  /** A range that begins at a moment of one's choice may lie before the hours that are kept. */
  const by = computed(() => (range.query.value.from ? 'day' : grainOf(range.query.value, Date.now())))
  const overview = useQuery({
    queryKey: computed(() => ['usage', 'token', id(), asked.value]),
    placeholderData: keepPreviousData,
    refetchInterval: live.interval,
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/stats/tokens/{id}', { params: { path: { id: id() }, query: asked.value }, signal })),
  })
  const trend = useQuery({
    queryKey: computed(() => ['usage', 'token trend', id(), asked.value, by.value]),
    placeholderData: keepPreviousData,
    refetchInterval: live.interval,
    queryFn: ({ signal }) =>
      answer(
        api.GET('/api/v1/stats/tokens/{id}/trend', {
          params: { path: { id: id() }, query: { ...asked.value, by: by.value } },
          signal,
        }),
      ),
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
