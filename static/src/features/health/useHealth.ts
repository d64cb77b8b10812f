// Components and what runs under them: pushed news of a change have the numbers asked for again.
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'
import { answer, api, idempotencyKey } from '@/api/client'
import { Problem } from '@/api/problem'
import { useLive } from '@/kit'
import { onNews } from '@/live/push'
import { sorted } from './health'

export function useHealth() {
  const live = useLive()
  const queries = useQueryClient()
  const again = () => void queries.invalidateQueries({ queryKey: ['health'] })
  onNews('health', { news: again, gap: again })
  const query = useQuery({
    queryKey: ['health', 'components'],
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/system/components', { signal })),
    refetchInterval: live.interval,
    placeholderData: keepPreviousData,
  })
  const environment = useQuery({
    queryKey: ['system', 'env'],
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/system/env', { signal })),
  })
  return {
    items: computed(() => sorted(query.data.value?.items ?? [])),
    status: computed(() => query.data.value?.status),
    loading: computed(() => query.isPending.value),
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    environment: environment.data,
    retry: () => query.refetch(),
  }
}

export function useComponent(id: Ref<string | null>) {
  const live = useLive()
  const query = useQuery({
    queryKey: computed(() => ['health', 'component', id.value]),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/ops/system/components/{id}', { params: { path: { id: id.value ?? '' } }, signal })),
    enabled: computed(() => id.value !== null),
    refetchInterval: live.interval,
    placeholderData: keepPreviousData,
  })
  return {
    detail: computed(() => (query.data.value?.id === id.value ? query.data.value : undefined)),
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
  }
}

export function useCare() {
  const queries = useQueryClient()
  const header = () => ({ 'idempotency-key': idempotencyKey() })
  const after = () => void queries.invalidateQueries()
  return {
    restart: useMutation({
      mutationFn: () => answer(api.POST('/api/v1/ops/system/restart-scheduler', { params: { header: header() } })),
      onSettled: after,
    }),
    clear: useMutation({
      mutationFn: () => answer(api.POST('/api/v1/ops/system/clear-cache', { params: { header: header() }, body: {} })),
      onSettled: after,
    }),
  }
}
