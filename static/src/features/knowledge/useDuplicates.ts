// Pairs that ask the same, and why a pair is worth what.
import { useQuery } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, idempotencyKey } from '@/api/client'
import { Problem } from '@/api/problem'
import { useLive } from '@/kit'
import type { Pair, PairText } from './pair'

const path = '/api/v1/ops/knowledge/duplicates'

export function useDuplicates(tenant: () => string | undefined) {
  const query = useQuery({
    queryKey: computed(() => ['knowledge', 'duplicates', tenant()]),
    refetchInterval: useLive().interval,
    queryFn: ({ signal }) => answer(api.GET(path, { params: { query: { tenant_id: tenant() } }, signal })),
  })
  return {
    groups: computed(() => query.data.value?.items ?? []),
    total: computed(() => query.data.value?.total ?? 0),
    loading: query.isPending,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
  }
}

/** Those of a tenant that ask this already. */
export async function asking(tenant: string, question: string): Promise<Pair[]> {
  const query = { question, ...(tenant ? { tenant_id: tenant } : {}) }
  const found = await answer(api.GET(path, { params: { query } }))
  return found.items[0]?.pairs ?? []
}

/** The first says it, the others go; a 412 when somebody has changed the first meanwhile. */
export async function mergePairs(pairs: readonly Pair[], text: PairText): Promise<void> {
  const [stays, ...merged] = pairs
  if (!stays) return
  const header = { 'if-match': `"${stays.version}"`, 'idempotency-key': idempotencyKey() }
  await answer(
    api.POST('/api/v1/ops/knowledge/qa-pairs/{id}/merge', {
      params: { path: { id: stays.id }, header },
      body: { ...text, merged: merged.map((one) => one.id) },
    }),
  )
}

export function useQuality(id: () => string | null, version: () => number | undefined) {
  const query = useQuery({
    queryKey: computed(() => ['knowledge', 'quality', id(), version()]),
    enabled: computed(() => id() !== null && version() !== undefined),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/ops/knowledge/qa-pairs/{id}/quality', { params: { path: { id: id() ?? '' } }, signal })),
  })
  return query.data
}
