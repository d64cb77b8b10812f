// The list of calls: filters and range from the URL, pages by cursor, newer calls announced, never pushed in.
import { useQuery } from '@tanstack/vue-query'
import { computed, ref, watch } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { answer, api } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components, paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useFilters, useOutside, useTimeRange, useWalk } from '@/kit'
import { onAnyNews } from '@/live/push'
import { byChoice, useChoices, useNames } from '@/names'
import { useText } from './messages'

export type Call = components['schemas']['RequestItem']
type Query = NonNullable<paths['/api/v1/logs/requests']['get']['parameters']['query']>

const pageSize = 100
export const newestFirst = '-request_at'

export function useRequests() {
  const t = useText()
  const route = useRoute()
  const router = useRouter()
  const range = useTimeRange()
  const names = useNames(['accounts'])
  const choices = useChoices()

  const specs = computed<FilterSpec[]>(() => {
    const text = (key: 'app' | 'user' | 'provider' | 'model' | 'prompt'): FilterSpec => ({
      key,
      label: t(`filter.${key}`),
      kind: 'text',
    })
    return [
      text('model'),
      {
        key: 'success',
        label: t('filter.success'),
        kind: 'select',
        options: [
          { value: 'false', label: t('filter.failed') },
          { value: 'true', label: t('filter.succeeded') },
        ],
      },
      { key: 'status_code', label: t('filter.status_code'), kind: 'number', placeholder: '429' },
      byChoice('token_id', t('filter.token_id'), choices.tokens.value),
      {
        key: 'account_id',
        label: t('filter.account_id'),
        kind: names.accounts.value ? 'select' : 'text',
        options: names.accounts.value,
      },
      byChoice('tenant_id', t('filter.tenant_id'), choices.tenants.value),
      text('user'),
      text('app'),
      text('provider'),
      { ...text('prompt'), placeholder: 'support/greeting@3' },
      { key: 'min_duration_ms', label: t('filter.min_duration_ms'), kind: 'number', placeholder: '5000' },
      {
        key: 'mode',
        label: t('filter.mode'),
        kind: 'select',
        options: [
          { value: 'api', label: t('filter.api') },
          { value: 'web', label: t('filter.web') },
        ],
      },
    ]
  })
  const filters = useFilters(() => specs.value)
  const sort = computed(() => (typeof route.query.sort === 'string' ? route.query.sort : newestFirst))
  const query = computed(() => {
    const { success, status_code, min_duration_ms, ...words } = filters.values.value
    return {
      ...range.query.value,
      ...words,
      ...(success === undefined ? {} : { success: success === 'true' }),
      ...(status_code === undefined ? {} : { status_code: Number(status_code) }),
      ...(min_duration_ms === undefined ? {} : { min_duration_ms: Number(min_duration_ms) }),
      sort: sort.value,
    } as Query
  })
  const list = useCursorList<Call>({
    key: computed(() => JSON.stringify(query.value)),
    rowKey: (call) => call.id,
    newestFirst: () => sort.value === newestFirst,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/logs/requests', {
          params: { query: { ...query.value, limit: pageSize, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  const outside = useOutside({
    key: 'requests',
    list,
    filters,
    latest: async (signal) =>
      (await answer(api.GET('/api/v1/logs/requests', { params: { query: { limit: 1 } }, signal }))).items[0]
        ?.request_at ?? null,
  })

  // A sparse filter is answered in steps: empty pages with a cursor. They are followed until something is found.
  const stopped = ref(false)
  watch(list.key, () => (stopped.value = false))
  const searching = computed(() => list.count.value === 0 && list.hasMore.value && !list.problem.value)
  watch([searching, list.more, stopped], () => {
    if (searching.value && !list.more.value && !stopped.value) void list.fetchMore()
  })

  // In any other order a new call is seldom among the first, and asking costs the server more.
  onAnyNews('requests', 1_000, list.again, () => sort.value === newestFirst)

  const selected = computed(() => (typeof route.params.id === 'string' && route.params.id ? route.params.id : null))
  const open = (id: string | null) =>
    router.push({ name: 'requests', params: { id: id ?? undefined }, query: route.query })
  const walk = useWalk(
    list,
    (call) => call.id,
    () => selected.value,
    open,
  )
  return {
    specs,
    filters,
    query,
    sort,
    list,
    outside,
    searching,
    stopped,
    selected,
    open,
    walk,
    upstreams: names.upstreams,
    sortBy: (to: string) => router.push({ query: { ...route.query, sort: to === newestFirst ? undefined : to } }),
  }
}

export function useRequest(id: () => string | null) {
  const query = useQuery({
    queryKey: computed(() => ['requests', 'one', id()]),
    enabled: computed(() => id() !== null),
    staleTime: Infinity,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/logs/requests/{id}', { params: { path: { id: id()! } }, signal })),
  })
  return {
    call: query.data,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
  }
}
