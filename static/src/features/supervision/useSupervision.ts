// What the supervision page shows: the tree and the books' balance, pushed, or looked at again at the polling interval.
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed, shallowRef, watch } from 'vue'
import { answer, api, idempotencyKey } from '@/api/client'
import { Problem } from '@/api/problem'
import { useLive } from '@/kit'
import { followSupervision } from '@/live/supervision'
import { type Look, movements, rowsOf, worst } from './tree'

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

  const looks = shallowRef<{ before: Look | null; now: Look } | null>(null)
  watch(
    treeQuery.dataUpdatedAt,
    (atMs) => {
      const root = treeQuery.data.value
      if (root) looks.value = { before: looks.value?.now ?? null, now: { atMs, rows: rowsOf(root) } }
    },
    { immediate: true },
  )
  const rows = computed(() => looks.value?.now.rows ?? [])
  const moved = computed(() => (looks.value ? movements(looks.value.before, looks.value.now) : new Map()))
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
