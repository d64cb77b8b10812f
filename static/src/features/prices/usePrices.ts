import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, etagOf, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components, paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useFilters, useLive } from '@/kit'
import { useText } from './messages'
import { figures, type Price, type PriceDraft } from './price'

export type Recalculation = components['schemas']['Recalculation']
type Query = NonNullable<paths['/api/v1/prices']['get']['parameters']['query']>

/** Models with calls and no price, of the last 30 days. */
export function useUnpriced() {
  const query = useQuery({
    queryKey: ['prices', 'unpriced'],
    refetchInterval: useLive().interval,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/prices/unpriced', { params: { query: {} }, signal })),
  })
  return {
    items: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
  }
}

/** Yuan for a dollar, as it is set. */
export function useRate() {
  const query = useQuery({
    queryKey: ['instance'],
    staleTime: 60_000,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/instance', { signal })),
  })
  return computed(() => query.data.value?.usd_cny ?? null)
}

export function usePrices() {
  const t = useText()
  const specs = computed<FilterSpec[]>(() => [
    {
      key: 'origin',
      label: t('col.origin'),
      kind: 'select',
      options: (['list', 'operator'] as const).map((value) => ({ value, label: t(`origin.${value}`) })),
    },
    { key: 'provider', label: t('col.provider'), kind: 'text' },
  ])
  const filters = useFilters(() => specs.value)
  const list = useCursorList<Price>({
    key: computed(() => JSON.stringify(filters.values.value)),
    rowKey: (price) => price.id,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/prices', {
          params: { query: { ...filters.values.value, limit: 200, ...(cursor ? { cursor } : {}) } as Query },
          signal,
        }),
      ),
  })
  return { specs, filters, list }
}

/** One price, and every other that its model ever had. */
export function usePrice(id: () => string | null) {
  const query = useQuery({
    queryKey: computed(() => ['prices', 'one', id()]),
    enabled: computed(() => id() !== null),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/prices/{id}', { params: { path: { id: id()! } }, signal })),
  })
  const of = computed(() => query.data.value && { provider: query.data.value.provider, model: query.data.value.model })
  const history = useQuery({
    queryKey: computed(() => ['prices', 'history', of.value]),
    enabled: computed(() => of.value !== undefined),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/prices', { params: { query: { ...of.value, limit: 200 } }, signal })),
  })
  return {
    price: query.data,
    history: computed(() => history.data.value?.items ?? []),
    problem: computed(() => {
      const cause = query.error.value ?? history.error.value
      return cause ? Problem.from(cause) : null
    }),
    retry: () => Promise.all([query.refetch(), history.refetch()]),
  }
}

/** What was seen goes with the change: of two people the second is told. */
const ifMatch = (seen: Price | null) => (seen ? { 'if-match': etagOf(seen) } : {})

export function useSetPrice() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: ({ draft, seen }: { draft: PriceDraft; seen: Price | null }) =>
      tagged(
        api.PUT('/api/v1/prices', {
          params: { query: { provider: draft.provider.trim(), model: draft.model.trim() }, header: ifMatch(seen) },
          body: figures(draft),
        }),
      ),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['prices'] }),
  })
}

export function useRemovePrice() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (seen: Price) =>
      answer(
        api.DELETE('/api/v1/prices', {
          params: { query: { provider: seen.provider, model: seen.model }, header: ifMatch(seen) },
        }),
      ),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['prices'] }),
  })
}

export function useRecalculate() {
  return useMutation({
    mutationFn: (body: Recalculation) =>
      answer(
        api.POST('/api/v1/prices/recalculate', { params: { header: { 'idempotency-key': idempotencyKey() } }, body }),
      ),
  })
}
