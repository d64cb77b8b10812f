// What feedback taught: candidates for pairs, and deciding on them.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, idempotencyKey } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components } from '@/api/schema'
import { useLive } from '@/kit'
import type { Draft } from './pair'
import { emptyDraft, textOf } from './pair'

export type Candidate = components['schemas']['QaCandidate']
/** Those that were merged are counted at what says the same. */
export type CandidateStatus = Exclude<Candidate['status'], 'merged'>
export const STATUSES = ['waiting', 'incomplete', 'taken', 'discarded'] as const satisfies readonly CandidateStatus[]

const root = ['knowledge', 'learning'] as const
/** How long after somebody asked to learn now the figures are looked at again, and how often. */
const WATCHED_MS = 15_000
const WATCH_MS = 1_000

let askedAt = 0
const watching = (otherwise: number | false) => (Date.now() - askedAt < WATCHED_MS ? WATCH_MS : otherwise)

export function useLearning() {
  const queries = useQueryClient()
  const live = useLive().interval
  const query = useQuery({
    queryKey: [...root, 'status'],
    refetchInterval: () => watching(live.value),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/knowledge/learn/status', { signal })),
  })
  const now = useMutation({
    mutationFn: () =>
      answer(api.POST('/api/v1/ops/knowledge/learn', { params: { header: { 'idempotency-key': idempotencyKey() } } })),
    onSuccess: () => {
      askedAt = Date.now()
      return queries.invalidateQueries({ queryKey: root })
    },
  })
  return { status: query.data, now }
}

export function useCandidates(status: () => CandidateStatus, tenant: () => string | undefined) {
  const queries = useQueryClient()
  const live = useLive().interval
  const query = useInfiniteQuery({
    queryKey: computed(() => [...root, status(), tenant()]),
    refetchInterval: () => watching(live.value),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: { next_cursor?: string | null }) => last.next_cursor ?? undefined,
    queryFn: ({ pageParam, signal }) =>
      answer(
        api.GET('/api/v1/ops/knowledge/candidates', {
          params: { query: { status: status(), tenant_id: tenant(), ...(pageParam ? { cursor: pageParam } : {}) } },
          signal,
        }),
      ),
  })
  return {
    items: computed(() => query.data.value?.pages.flatMap((page) => page.items) ?? []),
    total: computed(() => query.data.value?.pages.at(-1)?.total ?? 0),
    /** Fetches those after the last one; none when there are no more. */
    more: computed(() => (query.hasNextPage.value ? () => void query.fetchNextPage() : null)),
    coming: query.isFetchingNextPage,
    loading: query.isPending,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    changed: () => queries.invalidateQueries({ queryKey: root }),
  }
}

/** What a pair would say that is made of it as it is. */
export const draftOfCandidate = (one: Candidate): Draft => ({
  ...emptyDraft(one.tenant_id ?? ''),
  question: one.question,
  answer: one.answer,
})

const deciding = (one: Candidate) => ({
  path: { id: one.id },
  header: { 'if-match': `"${one.version}"`, 'idempotency-key': idempotencyKey() },
})

/** Makes a pair of it, or has the pair `replaces` say it. Throws a `Problem`. */
export async function takeCandidate(one: Candidate, draft: Draft, replaces: string, again: boolean): Promise<void> {
  const body = {
    ...textOf(draft),
    ...(one.tenant_id === null && draft.tenant ? { tenant_id: draft.tenant } : {}),
    ...(replaces ? { replaces } : {}),
    allow_duplicate: again,
  }
  await answer(api.POST('/api/v1/ops/knowledge/candidates/{id}/take', { params: deciding(one), body }))
}

/** Has no pair say it. Throws a `Problem`. */
export async function discardCandidate(one: Candidate): Promise<void> {
  await answer(api.POST('/api/v1/ops/knowledge/candidates/{id}/discard', { params: deciding(one) }))
}
