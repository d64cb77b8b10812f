import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components, paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useFilters } from '@/kit'
import { onAnyNews, onNews } from '@/live/push'
import { useText } from './messages'

export type Job = components['schemas']['JobView']
type Query = NonNullable<paths['/api/v1/jobs']['get']['parameters']['query']>
export const states = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const
export const isEnded = (job: Job): boolean => !['queued', 'running'].includes(job.state)
/** Milliseconds from start to end, or to now. */
export const took = (job: Job, nowMs: number): number | null =>
  job.started_at
    ? Math.max(0, (job.finished_at ? Date.parse(job.finished_at) : nowMs) - Date.parse(job.started_at))
    : null

export function useJobs() {
  const t = useText()
  const specs = computed<FilterSpec[]>(() => [
    {
      key: 'state',
      label: t('filter.state'),
      kind: 'select',
      options: states.map((state) => ({ value: state, label: t(`state.${state}`) })),
    },
    { key: 'kind', label: t('filter.kind'), kind: 'text' },
  ])
  const filters = useFilters(() => specs.value)
  const list = useCursorList<Job>({
    key: computed(() => JSON.stringify(filters.values.value)),
    rowKey: (job) => job.id,
    newestFirst: () => true,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/jobs', {
          params: { query: { ...filters.values.value, limit: 100, ...(cursor ? { cursor } : {}) } as Query },
          signal,
        }),
      ),
  })
  onAnyNews('jobs', 1_000, list.again)
  return { specs, filters, list }
}

export function useJob(id: () => string | null) {
  const queries = useQueryClient()
  const query = useQuery<Job>({
    queryKey: computed(() => ['jobs', 'one', id()]),
    enabled: computed(() => id() !== null),
    refetchInterval: (current) => (current.state.data && isEnded(current.state.data) ? false : 1_000),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/jobs/{id}', { params: { path: { id: id()! } }, signal })),
  })
  onNews('jobs', {
    news: (job) => {
      if (job.id === id()) queries.setQueryData<Job>(['jobs', 'one', job.id], job)
    },
    gap: () => void queries.invalidateQueries({ queryKey: ['jobs', 'one'] }),
  })
  const cancel = useMutation({
    mutationFn: () => answer(api.POST('/api/v1/jobs/{id}/cancel', { params: { path: { id: id() ?? '' } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ['jobs'] }),
  })
  return {
    job: query.data,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    cancel,
  }
}
