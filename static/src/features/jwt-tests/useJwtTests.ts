import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, idempotencyKey } from '@/api/client'
import { Problem } from '@/api/problem'
import { useLive } from '@/kit'
import { onAnyNews } from '@/live/push'
import { isEnded, type NewRun, type Run, type RunDetail } from './run'

const problemOf = (error: unknown) => (error ? Problem.from(error) : null)

/** Past runs, newest first: the last two hundred. */
export function useRuns() {
  const queries = useQueryClient()
  const live = useLive()
  const query = useQuery<{ items: Run[]; total?: number | null }>({
    queryKey: ['jwt-tests', 'list'],
    refetchInterval: ({ state }) => (state.data?.items.some((run) => !isEnded(run)) ? 1_000 : live.interval.value),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/jwt-tests', { params: { query: { limit: 200 } }, signal })),
  })
  onAnyNews('jobs', 1_000, () => void queries.invalidateQueries({ queryKey: ['jwt-tests', 'list'] }))
  const create = useMutation({
    mutationFn: (body: NewRun) =>
      answer(api.POST('/api/v1/jwt-tests', { params: { header: { 'idempotency-key': idempotencyKey() } }, body })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['jwt-tests'] }),
  })
  return {
    runs: computed(() => query.data.value?.items ?? []),
    total: computed(() => query.data.value?.total ?? null),
    loading: query.isPending,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    create,
  }
}

/** One run with its results, looked at twice a second while it goes on. */
export function useRun(id: () => string | null) {
  const queries = useQueryClient()
  const query = useQuery<RunDetail>({
    queryKey: computed(() => ['jwt-tests', 'one', id()]),
    enabled: computed(() => id() !== null),
    refetchInterval: ({ state }) => (state.data && isEnded(state.data) ? false : state.error ? false : 500),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/jwt-tests/{id}', { params: { path: { id: id() ?? '' } }, signal })),
  })
  const cancel = useMutation({
    mutationFn: (job: string) => answer(api.POST('/api/v1/jobs/{id}/cancel', { params: { path: { id: job } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ['jwt-tests'] }),
  })
  return {
    // While another is fetched, the one before is not shown as it.
    run: computed(() => (id() !== null && query.data.value?.id === id() ? query.data.value : null)),
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    cancel,
  }
}

export function useIssuers() {
  const query = useQuery({
    queryKey: ['jwt-issuers'],
    queryFn: ({ signal }) => answer(api.GET('/api/v1/jwt-issuers', { params: { query: { limit: 200 } }, signal })),
  })
  return computed(() => query.data.value?.items ?? [])
}
