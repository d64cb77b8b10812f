// Knowledge: the list with its filters, one pair, and what is done to many.
import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { answer, api, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useEdit, useFilters, useLive, useWalk } from '@/kit'
import { useNames } from '@/names'
import { useText } from './messages'
import type { Bulk, NewPair, Pair, PairText } from './pair'

type Query = NonNullable<paths['/api/v1/ops/knowledge/qa-pairs']['get']['parameters']['query']>

const problemOf = (cause: unknown) => (cause ? Problem.from(cause) : null)

export function useKnowledge() {
  const t = useText()
  const route = useRoute()
  const router = useRouter()
  const queries = useQueryClient()
  const names = useNames(['tenants'])
  const overview = useQuery({
    queryKey: ['knowledge', 'overview'],
    refetchInterval: useLive().interval,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/knowledge/overview', { signal })),
  })
  const categories = computed(() => Object.keys(overview.data.value?.by_category ?? {}).filter(Boolean))
  const specs = computed<FilterSpec[]>(() => [
    {
      key: 'tenant_id',
      label: t('filter.tenant_id'),
      kind: names.tenants.value ? 'select' : 'text',
      options: names.tenants.value,
    },
    {
      key: 'category',
      label: t('filter.category'),
      kind: 'select',
      options: categories.value.map((value) => ({ value, label: value })),
    },
    {
      key: 'source',
      label: t('filter.source'),
      kind: 'select',
      options: (['manual', 'import', 'template', 'feedback'] as const).map((value) => ({
        value,
        label: t(`source.${value}`),
      })),
    },
    {
      key: 'is_synced',
      label: t('filter.is_synced'),
      kind: 'select',
      options: [
        { value: 'true', label: t('sync.yes') },
        { value: 'false', label: t('sync.no') },
      ],
    },
    { key: 'quality_min', label: t('filter.quality_min'), kind: 'text', placeholder: '0.8' },
    { key: 'quality_max', label: t('filter.quality_max'), kind: 'text', placeholder: '0.5' },
  ])
  const filters = useFilters(() => specs.value)
  const query = computed(() => {
    const { quality_min, quality_max, ...words } = filters.values.value
    return {
      ...words,
      ...(quality_min === undefined ? {} : { quality_min: Number(quality_min) }),
      ...(quality_max === undefined ? {} : { quality_max: Number(quality_max) }),
    } as Query
  })
  const list = useCursorList<Pair>({
    key: computed(() => JSON.stringify(query.value)),
    rowKey: (row) => row.id,
    newestFirst: () => true,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/ops/knowledge/qa-pairs', {
          params: { query: { ...query.value, limit: 100, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  const selected = computed(() => (typeof route.params.id === 'string' && route.params.id ? route.params.id : null))
  const open = (id: string | null) =>
    router.push({ name: 'knowledge', params: { id: id ?? undefined }, query: route.query })
  const walk = useWalk(
    list,
    (row) => row.id,
    () => selected.value,
    open,
  )
  const changed = async () => {
    await Promise.all([list.restart(), queries.invalidateQueries({ queryKey: ['knowledge'] })])
  }
  const create = useMutation({
    mutationFn: (body: NewPair) =>
      answer(
        api.POST('/api/v1/ops/knowledge/qa-pairs', {
          params: { header: { 'idempotency-key': idempotencyKey() } },
          body,
        }),
      ),
    onSuccess: changed,
  })
  return {
    specs,
    filters,
    query,
    overview: overview.data,
    categories,
    tenants: names.tenants,
    list,
    selected,
    open,
    walk,
    create,
    changed,
  }
}

export function usePair(id: () => string | null, changed: () => Promise<void>) {
  const fetch = (of: string, signal?: AbortSignal) =>
    tagged(api.GET('/api/v1/ops/knowledge/qa-pairs/{id}', { params: { path: { id: of } }, signal }))
  const query = useQuery({
    queryKey: computed(() => ['knowledge', 'one', id()]),
    enabled: computed(() => id() !== null),
    queryFn: ({ signal }) => fetch(id()!, signal),
  })
  const edit = useEdit<Pair, PairText>({
    fetch: () => fetch(id() ?? ''),
    save: async (body, etag) => {
      const params = { path: { id: id() ?? '' }, header: { 'if-match': etag } }
      await answer(api.PUT('/api/v1/ops/knowledge/qa-pairs/{id}', { params, body }))
      await changed()
    },
  })
  const remove = useMutation({
    mutationFn: () =>
      answer(
        api.DELETE('/api/v1/ops/knowledge/qa-pairs/{id}', {
          params: { path: { id: id() ?? '' }, header: { 'if-match': query.data.value?.etag ?? '' } },
        }),
      ),
  })
  return {
    pair: computed(() => query.data.value?.data ?? null),
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    edit,
    remove,
  }
}

/** Asks for it to be done to many; the job's id. */
export async function changeMany(body: Bulk): Promise<string> {
  const accepted = await answer(
    api.POST('/api/v1/ops/knowledge/qa-pairs/bulk', {
      params: { header: { 'idempotency-key': idempotencyKey() } },
      body,
    }),
  )
  return accepted.job.id
}
