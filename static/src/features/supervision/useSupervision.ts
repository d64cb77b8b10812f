// What the supervision page shows: the tree and the books' balance, pushed, or looked at again at the polling interval.
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed, shallowRef, watch } from 'vue'
import { answer, api, idempotencyKey } from '@/api/client'
import { Problem } from '@/api/problem'
import { useLive, useNow } from '@/kit'
import { followSupervision } from '@/live/supervision'
import { changedAt, type Look, markedMs, type Movement, movements, rowsOf, worst } from './tree'

export function useSupervision() {
  const live = useLive()
  followSupervision()
  const refetchInterval = live.unless('supervision')
  const treeQuery = useQuery({
    queryKey: ['supervision', 'tree'],
    queryFn: ({ signal }) => answer(api.GET('/api/v1/supervision/tree', { signal })),
    refetchInterval,
    placeholderData: keepPreviousData,
  })
  const ledgerQuery = useQuery({
    queryKey: ['supervision', 'ledger'],
    queryFn: ({ signal }) => answer(api.GET('/api/v1/supervision/ledger', { signal })),
    refetchInterval,
    placeholderData: keepPreviousData,
  })

  const looks = shallowRef<{ now: Look; moved: Map<string, Movement>; changed: Map<string, number> } | null>(null)
  watch(
    treeQuery.dataUpdatedAt,
    (atMs) => {
      const root = treeQuery.data.value
      if (!root) return
      const now = { atMs, rows: rowsOf(root) }
      const found = movements(looks.value?.now ?? null, now)
      looks.value = { now, moved: found, changed: changedAt(looks.value?.changed ?? new Map(), found, atMs) }
    },
    { immediate: true },
  )
  const clock = useNow()
  const rows = computed(() => looks.value?.now.rows ?? [])
  const moved = computed(() => {
    const marked = (id: string) => clock.value - (looks.value?.changed.get(id) ?? -Infinity) < markedMs
    return new Map([...(looks.value?.moved ?? [])].map(([id, it]) => [id, { ...it, changed: marked(id) }]))
  })
  return {
    rows,
    moved,
    condition: computed(() => worst(rows.value)),
    loading: computed(() => treeQuery.isPending.value),
    problem: computed(() => (treeQuery.error.value ? Problem.from(treeQuery.error.value) : null)),
    ledger: ledgerQuery.data,
    ledgerProblem: computed(() => (ledgerQuery.error.value ? Problem.from(ledgerQuery.error.value) : null)),
    retry: () => Promise.all([treeQuery.refetch(), ledgerQuery.refetch()]),
  }
}

export function useRestart() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (path: string) =>
      answer(
        api.POST('/api/v1/supervision/actors/{path}/restart', {
          params: { path: { path }, header: { 'idempotency-key': idempotencyKey() } },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: ['supervision'] }),
  })
}

export function useReplay() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: () =>
      answer(
        api.POST('/api/v1/logs/dead-letters/replay', { params: { header: { 'idempotency-key': idempotencyKey() } } }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: ['supervision'] }),
  })
}
