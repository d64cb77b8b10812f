import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, etagOf, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import { useEdit, useLive } from '@/kit'
import { onNews } from '@/live/push'
import type { PlanChanges, PlanState, RemoteChanges, RemoteState } from './backup'

const problemOf = (error: unknown) => (error ? Problem.from(error) : null)
const key = () => ({ header: { 'idempotency-key': idempotencyKey() } })

function useChanged() {
  const queries = useQueryClient()
  return () => queries.invalidateQueries({ queryKey: ['backups'] })
}

export function useDatabases() {
  const live = useLive()
  const changed = useChanged()
  // Backups and drills are jobs: their news are news of them.
  onNews('jobs', { news: () => void changed(), gap: () => void changed() })
  const plan = useQuery({
    queryKey: ['backups', 'plan'],
    refetchInterval: live.interval,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/backups/plan', { signal })),
  })
  const list = useQuery({
    queryKey: ['backups', 'list'],
    refetchInterval: live.interval,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/backups', { params: { query: { limit: 200 } }, signal })),
  })
  const run = useMutation({
    mutationFn: () => answer(api.POST('/api/v1/ops/backups', { params: key() })),
    onSuccess: changed,
  })
  const drill = useMutation({
    mutationFn: (backup: string | null) =>
      answer(api.POST('/api/v1/ops/backups/drill', { params: key(), body: { backup } })),
    onSuccess: changed,
  })
  const test = useMutation({ mutationFn: () => answer(api.POST('/api/v1/ops/backups/plan/test')) })
  return {
    plan: plan.data,
    loading: plan.isPending,
    problem: computed(() => problemOf(plan.error.value)),
    retry: () => plan.refetch(),
    backups: computed(() => list.data.value?.items ?? []),
    listLoading: list.isPending,
    listProblem: computed(() => problemOf(list.error.value)),
    listRetry: () => list.refetch(),
    run,
    drill,
    test,
    changed,
  }
}

export function usePlanEdit(changed: () => Promise<void>) {
  return useEdit<PlanState, PlanChanges>({
    fetch: () => tagged(api.GET('/api/v1/ops/backups/plan')),
    save: async (body, etag) => {
      await answer(api.PUT('/api/v1/ops/backups/plan', { params: { header: { 'if-match': etag } }, body }))
      await changed()
    },
  })
}

export function useRemote() {
  const live = useLive()
  const changed = useChanged()
  const query = useQuery({
    queryKey: ['backups', 'remote'],
    refetchInterval: live.interval,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/backups/remote', { signal })),
  })
  const push = useMutation({
    mutationFn: () => answer(api.POST('/api/v1/ops/backups/remote/push')),
    onSettled: changed,
  })
  const test = useMutation({ mutationFn: () => answer(api.POST('/api/v1/ops/backups/remote/test')) })
  const compare = useMutation({ mutationFn: () => answer(api.GET('/api/v1/ops/backups/remote/comparison')) })
  const remove = useMutation({
    mutationFn: (seen: { version: number }) =>
      answer(api.DELETE('/api/v1/ops/backups/remote', { params: { header: { 'if-match': etagOf(seen) } } })),
    onSettled: changed,
  })
  return {
    state: query.data,
    loading: query.isPending,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    push,
    test,
    compare,
    remove,
    changed,
  }
}

export function useRemoteEdit(changed: () => Promise<void>) {
  return useEdit<RemoteState, RemoteChanges>({
    fetch: () => tagged(api.GET('/api/v1/ops/backups/remote')),
    save: async (body, etag) => {
      await answer(api.PUT('/api/v1/ops/backups/remote', { params: { header: { 'if-match': etag } }, body }))
      await changed()
    },
  })
}
