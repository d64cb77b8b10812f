// How the vectors stand to the pairs, having them caught up, and pairs found by what a question means.
import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, idempotencyKey } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components } from '@/api/schema'
import { useLive } from '@/kit'

export type SyncStatus = components['schemas']['SyncStatus']
export type Hit = components['schemas']['KnowledgeHit']

/** How long after it was asked for, and how often meanwhile, it is looked at. */
const WATCHED_MS = 60_000
const WATCH_MS = 1_000

export function useSync() {
  const queries = useQueryClient()
  const key = ['knowledge', 'sync']
  const live = useLive().interval
  let askedAt = 0
  const query = useQuery({
    queryKey: key,
    // Who has asked for it watches it happen.
    refetchInterval: () => (Date.now() - askedAt < WATCHED_MS ? WATCH_MS : live.value),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/knowledge/sync/status', { signal })),
  })
  const now = useMutation({
    mutationFn: () =>
      answer(api.POST('/api/v1/ops/knowledge/sync', { params: { header: { 'idempotency-key': idempotencyKey() } } })),
    onSuccess: (status) => {
      askedAt = Date.now()
      queries.setQueryData(key, status)
    },
  })
  return {
    status: query.data,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    now,
  }
}

/** The pairs nearest to a question. Throws a `Problem`. */
export async function search(question: string, tenant: string): Promise<Hit[]> {
  const body = { query: question, ...(tenant ? { tenant_id: tenant } : {}) }
  return (await answer(api.POST('/api/v1/knowledge/search', { body }))).items
}
