// Feedback as a list and as figures: filters and range from the URL, pages by cursor.
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { answer, api, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useFilters, useLive, useOutside, useTimeRange, useWalk } from '@/kit'
import { byChoice, useChoices } from '@/names'
import { useSession } from '@/session'
import { type Act, type Feedback, statuses } from './feedback'
import { useText } from './messages'

type Query = NonNullable<paths['/api/v1/feedback']['get']['parameters']['query']>

const pageSize = 100

export function useFeedback() {
  const t = useText()
  const route = useRoute()
  const router = useRouter()
  const range = useTimeRange()
  const choices = useChoices()
  const stars = [1, 2, 3, 4, 5].map((n) => ({ value: String(n), label: String(n) }))
  const specs = computed<FilterSpec[]>(() => {
    const text = (key: 'category' | 'model' | 'app' | 'user' | 'prompt'): FilterSpec => ({
      key,
      label: t(`filter.${key}`),
      kind: 'text',
    })
    return [
      {
        key: 'status',
        label: t('filter.status'),
        kind: 'select',
        options: statuses.map((value) => ({ value, label: t(`status.${value}`) })),
      },
      { key: 'rating_max', label: t('filter.rating_max'), kind: 'select', options: stars },
      { key: 'rating_min', label: t('filter.rating_min'), kind: 'select', options: stars },
      text('category'),
      text('model'),
      text('app'),
      { ...text('prompt'), placeholder: 'support/first-answer@3' },
      text('user'),
      byChoice('tenant_id', t('filter.tenant_id'), choices.tenants.value),
      byChoice('token_id', t('filter.token_id'), choices.tokens.value),
      {
        key: 'has_correction',
        label: t('filter.has_correction'),
        kind: 'select',
        options: [
          { value: 'true', label: t('filter.with') },
          { value: 'false', label: t('filter.without') },
        ],
      },
    ]
  })
  const filters = useFilters(() => specs.value)
  const query = computed(() => {
    const { rating_min, rating_max, has_correction, ...words } = filters.values.value
    return {
      ...range.query.value,
      ...words,
      ...(rating_min === undefined ? {} : { rating_min: Number(rating_min) }),
      ...(rating_max === undefined ? {} : { rating_max: Number(rating_max) }),
      ...(has_correction === undefined ? {} : { has_correction: has_correction === 'true' }),
    } as Query
  })
  const list = useCursorList<Feedback>({
    key: computed(() => JSON.stringify(query.value)),
    rowKey: (row) => row.id,
    newestFirst: () => true,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/feedback', {
          params: { query: { ...query.value, limit: pageSize, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  const outside = useOutside({
    key: 'feedback',
    list,
    filters,
    latest: async (signal) =>
      (await answer(api.GET('/api/v1/feedback', { params: { query: { limit: 1 } }, signal }))).items[0]?.created_at ??
      null,
  })
  const selected = computed(() => (typeof route.params.id === 'string' && route.params.id ? route.params.id : null))
  const open = (id: string | null) =>
    router.push({ name: 'feedback', params: { id: id ?? undefined }, query: route.query })
  const walk = useWalk(
    list,
    (row) => row.id,
    () => selected.value,
    open,
  )
  return { specs, filters, query, list, outside, selected, open, walk }
}

export function useFeedbackStats(query: () => Query, enabled: () => boolean) {
  const live = useLive()
  const asked = useQuery({
    queryKey: computed(() => ['feedback', 'stats', query()]),
    enabled: computed(enabled),
    refetchInterval: live.interval,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/feedback/stats', { params: { query: query() }, signal })),
  })
  return {
    stats: asked.data,
    problem: computed(() => (asked.error.value ? Problem.from(asked.error.value) : null)),
    retry: () => asked.refetch(),
  }
}

/** One piece of feedback and what can be decided of it. */
export function useOneFeedback(id: () => string | null) {
  const queries = useQueryClient()
  const query = useQuery({
    queryKey: computed(() => ['feedback', 'one', id()]),
    enabled: computed(() => id() !== null),
    queryFn: ({ signal }) => tagged(api.GET('/api/v1/feedback/{id}', { params: { path: { id: id()! } }, signal })),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['feedback'] })
  const settle = useMutation({
    /** Decided from what was shown, unless `seen` says otherwise. */
    mutationFn: async ({ of, act, note, seen }: { of: string; act: Act; note: string; seen?: string }) => {
      const etag = seen ?? query.data.value?.etag ?? ''
      const params = { path: { id: of }, header: { 'idempotency-key': idempotencyKey() } }
      const headers = { 'if-match': etag }
      if (act === 'reopen') return answer(api.POST('/api/v1/feedback/{id}/reopen', { params, headers }))
      const body = { note }
      if (act === 'approve') return answer(api.POST('/api/v1/feedback/{id}/approve', { params, headers, body }))
      if (act === 'reject') return answer(api.POST('/api/v1/feedback/{id}/reject', { params, headers, body }))
      return answer(api.POST('/api/v1/feedback/{id}/resolve', { params, headers, body }))
    },
    // Refused or not: what stands now is shown.
    onSettled: changed,
  })
  return {
    feedback: computed(() => query.data.value?.data ?? null),
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    settle,
  }
}

/** What was said in the call, where it was kept and may be read: fetched when somebody asks, since reading is audited. */
export function useConversationBeside(requestId: () => string | null, wanted: () => boolean) {
  const session = useSession()
  const query = useQuery({
    queryKey: computed(() => ['conversations', 'one', requestId()]),
    enabled: computed(() => requestId() !== null && wanted() && session.can('read:conversations')),
    staleTime: Infinity,
    retry: false,
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/conversations/{id}', { params: { path: { id: requestId()! } }, signal })),
  })
  return {
    kept: query.data,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    mayRead: computed(() => session.can('read:conversations')),
  }
}
