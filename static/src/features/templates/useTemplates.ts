// Templates: the list with its filters, one of them, and handing out.
import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { answer, api, everyPage, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useEdit, useFilters, useLive, useWalk } from '@/kit'
import { useText } from './messages'
import type { Distribution, Draft, Standing, Template } from './template'

type Query = NonNullable<paths['/api/v1/ops/templates']['get']['parameters']['query']>

const problemOf = (cause: unknown) => (cause ? Problem.from(cause) : null)

export function useTemplates() {
  const t = useText()
  const route = useRoute()
  const router = useRouter()
  const queries = useQueryClient()
  const categories = useQuery({
    queryKey: ['templates', 'categories'],
    refetchInterval: useLive().interval,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/templates/categories', { signal })),
  })
  const named = computed(() => (categories.data.value?.items ?? []).map((one) => one.category).filter(Boolean))
  const specs = computed<FilterSpec[]>(() => [
    {
      key: 'category',
      label: t('filter.category'),
      kind: 'select',
      options: named.value.map((value) => ({ value, label: value })),
    },
    {
      key: 'outdated',
      label: t('filter.outdated'),
      kind: 'select',
      options: [
        { value: 'true', label: t('filter.yes') },
        { value: 'false', label: t('filter.no') },
      ],
    },
  ])
  const filters = useFilters(() => specs.value)
  const query = computed(() => {
    const { outdated, ...words } = filters.values.value
    return { ...words, ...(outdated === undefined ? {} : { outdated: outdated === 'true' }) } as Query
  })
  const list = useCursorList<Template>({
    key: computed(() => JSON.stringify(query.value)),
    rowKey: (row) => row.id,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/ops/templates', {
          params: { query: { ...query.value, limit: 100, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  const selected = computed(() => (typeof route.params.id === 'string' && route.params.id ? route.params.id : null))
  const open = (id: string | null) =>
    router.push({ name: 'templates', params: { id: id ?? undefined }, query: route.query })
  const walk = useWalk(
    list,
    (row) => row.id,
    () => selected.value,
    open,
  )
  const changed = async (read = list.refresh) => {
    await Promise.all([read(), queries.invalidateQueries({ queryKey: ['templates'] })])
  }
  const create = useMutation({
    mutationFn: (body: Draft) =>
      answer(api.POST('/api/v1/ops/templates', { params: { header: { 'idempotency-key': idempotencyKey() } }, body })),
    onSuccess: () => changed(list.restart),
  })
  return { specs, filters, query, list, categories: named, selected, open, walk, create, changed }
}

export function useTemplate(id: () => string | null, changed: () => Promise<void>) {
  const fetch = (of: string, signal?: AbortSignal) =>
    tagged(api.GET('/api/v1/ops/templates/{id}', { params: { path: { id: of } }, signal }))
  const query = useQuery({
    queryKey: computed(() => ['templates', 'one', id()]),
    enabled: computed(() => id() !== null),
    queryFn: ({ signal }) => fetch(id()!, signal),
  })
  const template = computed(() => query.data.value?.data ?? null)
  const tenants = useCursorList<Standing>({
    // Anew whenever the template is: what was handed out changes how tenants stand, and not always the template.
    key: computed(() => `${id() ?? ''} ${query.dataUpdatedAt.value}`),
    rowKey: (row) => row.tenant_id,
    fetchPage: async (cursor, signal) => {
      const of = id()
      if (!of || !template.value) return { items: [] }
      return answer(
        api.GET('/api/v1/ops/templates/{id}/tenants', {
          params: { path: { id: of }, query: { limit: 50, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      )
    },
  })
  const standings = computed(() =>
    Array.from({ length: tenants.count.value }, (_, index) => tenants.at(index)).filter((one) => one !== undefined),
  )
  const edit = useEdit<Template, Draft>({
    fetch: () => fetch(id() ?? ''),
    save: async (body, etag) => {
      const params = { path: { id: id() ?? '' }, header: { 'if-match': etag } }
      await answer(api.PUT('/api/v1/ops/templates/{id}', { params, body }))
      await changed()
    },
  })
  const remove = useMutation({
    mutationFn: () =>
      answer(
        api.DELETE('/api/v1/ops/templates/{id}', {
          params: { path: { id: id() ?? '' }, header: { 'if-match': query.data.value?.etag ?? '' } },
        }),
      ),
  })
  return {
    template,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    tenants,
    standings,
    edit,
    remove,
  }
}

/** All tenants there are, to choose from. */
export function useTenants(enabled: () => boolean) {
  const query = useQuery({
    queryKey: ['tenants', 'all'],
    enabled: computed(enabled),
    staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const { items } = await everyPage((query) =>
        answer(api.GET('/api/v1/ops/tenants', { params: { query }, signal })),
      )
      return items.map((tenant) => ({ value: tenant.id, label: tenant.name }))
    },
  })
  return { tenants: query.data, problem: computed(() => problemOf(query.error.value)), retry: () => query.refetch() }
}

/** What handing out would do; nothing is asked while `asked` is null. */
export function usePreview(asked: () => Distribution | null) {
  const query = useQuery({
    queryKey: computed(() => ['templates', 'preview', asked()]),
    enabled: computed(() => asked() !== null),
    staleTime: 0,
    gcTime: 0,
    queryFn: ({ signal }) => answer(api.POST('/api/v1/ops/templates/distribute/preview', { body: asked()!, signal })),
  })
  return { preview: query.data, problem: computed(() => problemOf(query.error.value)), retry: () => query.refetch() }
}

/** Asks for it to be handed out; the job's id. */
export async function distribute(body: Distribution): Promise<string> {
  const accepted = await answer(
    api.POST('/api/v1/ops/templates/distribute', {
      params: { header: { 'idempotency-key': idempotencyKey() } },
      body,
    }),
  )
  return accepted.job.id
}

/** A job as it stands, told again when it has ended. */
export function useJobResult(id: () => string | null) {
  const ended = ['succeeded', 'failed', 'cancelled']
  const query = useQuery({
    queryKey: computed(() => ['jobs', 'one', id() ?? '']),
    enabled: computed(() => id() !== null),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/jobs/{id}', { params: { path: { id: id()! } }, signal })),
    refetchInterval: ({ state }) => (state.error || (state.data && ended.includes(state.data.state)) ? false : 1_000),
  })
  return {
    job: query.data,
    hasEnded: computed(() => query.data.value !== undefined && ended.includes(query.data.value.state)),
  }
}
