// Tenants: the list with its filters and order, one of them with its numbers and people, and what is done to it.
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { answer, api, everyPage, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components, paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useEdit, useFilters, useLive, useWalk } from '@/kit'
import { usePreferences } from '@/preferences'
import { useSession } from '@/session'
import { useText } from './messages'
import type { NewTenant, Tenant, TenantChanges } from './tenant'

type Query = NonNullable<paths['/api/v1/ops/tenants']['get']['parameters']['query']>

const newestFirst = '-created_at'
const problemOf = (cause: unknown) => (cause ? Problem.from(cause) : null)
const once = () => ({ 'idempotency-key': idempotencyKey() })

export function useTenants() {
  const t = useText()
  const route = useRoute()
  const router = useRouter()
  const queries = useQueryClient()
  const live = useLive()
  const specs = computed<FilterSpec[]>(() => [
    {
      key: 'status',
      label: t('col.status'),
      kind: 'select',
      options: (['active', 'suspended'] as const).map((value) => ({ value, label: t(`status.${value}`) })),
    },
  ])
  const filters = useFilters(() => specs.value)
  const sort = computed(() => (typeof route.query.sort === 'string' ? route.query.sort : newestFirst))
  const query = computed(() => ({ ...filters.values.value, sort: sort.value }) as Query)
  const list = useCursorList<Tenant>({
    key: computed(() => JSON.stringify(query.value)),
    rowKey: (row) => row.id,
    newestFirst: () => sort.value === newestFirst,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/ops/tenants', {
          params: { query: { ...query.value, limit: 100, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  const counted = (status?: 'suspended') =>
    useQuery({
      queryKey: ['tenants', 'count', status ?? 'all'],
      refetchInterval: live.interval,
      placeholderData: keepPreviousData,
      queryFn: async ({ signal }) => {
        const query = { limit: 1, ...(status ? { status } : {}) }
        return (await answer(api.GET('/api/v1/ops/tenants', { params: { query }, signal }))).total ?? 0
      },
    }).data
  const [all, suspended] = [counted(), counted('suspended')]
  const selected = computed(() => (typeof route.params.id === 'string' && route.params.id ? route.params.id : null))
  const open = (id: string | null) =>
    router.push({ name: 'tenants', params: { id: id ?? undefined }, query: route.query })
  const walk = useWalk(
    list,
    (row) => row.id,
    () => selected.value,
    open,
  )
  const changed = async (read = list.refresh) => {
    // Its name stands on chips and in fields of other pages.
    const named = queries.invalidateQueries({ queryKey: ['choices', 'tenants'] })
    await Promise.all([read(), queries.invalidateQueries({ queryKey: ['tenants'] }), named])
  }
  const create = useMutation({
    mutationFn: (body: NewTenant) => answer(api.POST('/api/v1/ops/tenants', { params: { header: once() }, body })),
    onSuccess: () => changed(list.restart),
  })
  return {
    specs,
    filters,
    sort,
    sortBy: (to: string) => router.push({ query: { ...route.query, sort: to === newestFirst ? undefined : to } }),
    list,
    /** How many there are, and how many of them are suspended; undefined until it is known. */
    all,
    suspended,
    selected,
    open,
    walk,
    create,
    changed,
  }
}

export function useTenant(id: () => string | null, changed: () => Promise<void>) {
  const live = useLive()
  const fetch = (of: string, signal?: AbortSignal) =>
    tagged(api.GET('/api/v1/ops/tenants/{id}', { params: { path: { id: of } }, signal }))
  const query = useQuery({
    queryKey: computed(() => ['tenants', 'one', id()]),
    enabled: computed(() => id() !== null),
    refetchInterval: live.interval,
    queryFn: ({ signal }) => fetch(id()!, signal),
  })
  const edit = useEdit<Tenant, TenantChanges>({
    fetch: () => fetch(id() ?? ''),
    save: async (body, etag) => {
      const params = { path: { id: id() ?? '' }, header: { 'if-match': etag } }
      await answer(api.PATCH('/api/v1/ops/tenants/{id}', { params, body }))
      await changed()
    },
  })
  /** As it was shown: who changed it meanwhile is heard first. */
  const shown = () => ({
    params: { path: { id: id() ?? '' }, header: once() },
    headers: { 'if-match': query.data.value?.etag ?? '' },
  })
  const suspend = useMutation({
    mutationFn: (reason: string) =>
      answer(api.POST('/api/v1/ops/tenants/{id}/suspend', { ...shown(), body: { reason } })),
    onSettled: changed,
  })
  const activate = useMutation({
    mutationFn: () => answer(api.POST('/api/v1/ops/tenants/{id}/activate', shown())),
    onSettled: changed,
  })
  return {
    tenant: computed(() => query.data.value?.data ?? null),
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    edit,
    suspend,
    activate,
  }
}

/** A tenant in numbers, for who may read them. */
export function useTenantStats(id: () => string) {
  const preferences = usePreferences()
  const query = useQuery({
    queryKey: computed(() => ['tenants', 'stats', id(), preferences.currency]),
    refetchInterval: useLive().interval,
    queryFn: ({ signal }) => {
      const params = { path: { id: id() }, query: { currency: preferences.currency } }
      return answer(api.GET('/api/v1/ops/tenants/{id}/stats', { params, signal }))
    },
  })
  return {
    stats: query.data,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
  }
}

/** The people of a tenant, and one more of them. */
export function usePeople(id: () => string) {
  const session = useSession()
  const queries = useQueryClient()
  const query = useQuery({
    queryKey: computed(() => ['operators', 'of', id()]),
    enabled: computed(() => session.can('read:operators')),
    refetchInterval: useLive().interval,
    queryFn: ({ signal }) =>
      everyPage((query) =>
        answer(api.GET('/api/v1/ops/users', { params: { query: { ...query, tenant_id: id() } }, signal })),
      ),
  })
  const add = useMutation({
    mutationFn: (body: components['schemas']['OperatorNew']) =>
      answer(api.POST('/api/v1/ops/users', { params: { header: once() }, body })),
    onSuccess: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: ['operators'] }),
        queries.invalidateQueries({ queryKey: ['tenants'] }),
      ]),
  })
  return {
    people: computed(() => query.data.value?.items),
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    add,
  }
}
