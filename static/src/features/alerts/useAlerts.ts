import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'
import { answer, api, etagOf, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useEdit, useFilters, useLive } from '@/kit'
import { onAnyNews } from '@/live/push'
import { useSession } from '@/session'
import { type Alert, type NewRule, type Rule, severities } from './alert'
import { useText } from './messages'

type Query = NonNullable<paths['/api/v1/ops/alerts/history']['get']['parameters']['query']>
const problemOf = (error: unknown) => (error ? Problem.from(error) : null)

/** Incidents that fire, or all of them. */
export function useIncidents(scope: () => 'active' | 'history') {
  const t = useText()
  const { rules } = useRules()
  const specs = computed<FilterSpec[]>(() => [
    {
      key: 'severity',
      label: t('col.severity'),
      kind: 'select',
      options: severities.map((value) => ({ value, label: t(`severity.${value}`) })),
    },
    {
      key: 'rule_id',
      label: t('col.rule'),
      kind: 'select',
      options: rules.value.map((rule) => ({ value: rule.id, label: rule.name })),
    },
  ])
  const filters = useFilters(() => specs.value)
  const list = useCursorList<Alert>({
    key: computed(() => JSON.stringify([scope(), filters.values.value])),
    rowKey: (alert) => alert.id,
    newestFirst: () => true,
    fetchPage: (cursor, signal) => {
      const query = { ...(filters.values.value as Query), limit: 100, ...(cursor ? { cursor } : {}) }
      return scope() === 'active'
        ? answer(api.GET('/api/v1/ops/alerts/active', { params: { query }, signal }))
        : answer(api.GET('/api/v1/ops/alerts/history', { params: { query }, signal }))
    },
  })
  onAnyNews('alerts', 1_000, list.again)
  return { specs, filters, list }
}

export function useIncident(id: () => string | null) {
  const queries = useQueryClient()
  const live = useLive()
  const query = useQuery({
    queryKey: computed(() => ['alerts', 'one', id()]),
    enabled: computed(() => id() !== null),
    refetchInterval: live.unless('alerts'),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/ops/alerts/{id}', { params: { path: { id: id() ?? '' } }, signal })),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['alerts', 'one'] })
  onAnyNews('alerts', 1_000, () => void changed())
  const acknowledge = useMutation({
    mutationFn: (id: string) => answer(api.POST('/api/v1/ops/alerts/{id}/acknowledge', { params: { path: { id } } })),
    onSuccess: changed,
  })
  const resolve = useMutation({
    mutationFn: (id: string) => answer(api.POST('/api/v1/ops/alerts/{id}/resolve', { params: { path: { id } } })),
    onSuccess: changed,
  })
  return {
    incident: query.data,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    acknowledge,
    resolve,
  }
}

export function useRules() {
  const queries = useQueryClient()
  const live = useLive()
  const query = useQuery({
    queryKey: ['alerts', 'rules'],
    refetchInterval: live.interval,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/alerts/rules', { params: { query: { limit: 200 } }, signal })),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['alerts', 'rules'] })
  onAnyNews('alerts', 1_000, () => void changed())
  const create = useMutation({
    mutationFn: (body: NewRule) =>
      answer(
        api.POST('/api/v1/ops/alerts/rules', { params: { header: { 'idempotency-key': idempotencyKey() } }, body }),
      ),
    onSuccess: changed,
  })
  const remove = useMutation({
    mutationFn: ({ id, version }: Pick<Rule, 'id' | 'version'>) =>
      answer(
        api.DELETE('/api/v1/ops/alerts/rules/{id}', {
          params: { path: { id }, header: { 'if-match': etagOf({ version }) } },
        }),
      ),
    onSettled: changed,
  })
  return {
    rules: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    changed,
    create,
    remove,
  }
}

export function useRuleEdit(id: () => string, changed: () => Promise<void>) {
  const path = () => ({ id: id() })
  return useEdit<Rule, NewRule>({
    fetch: () => tagged(api.GET('/api/v1/ops/alerts/rules/{id}', { params: { path: path() } })),
    save: async (body, etag) => {
      await answer(
        api.PUT('/api/v1/ops/alerts/rules/{id}', { params: { path: path(), header: { 'if-match': etag } }, body }),
      )
      await changed()
    },
  })
}

/** What rules can watch. */
export function useMetrics() {
  const query = useQuery({
    queryKey: ['alerts', 'metrics'],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/alerts/metrics', { signal })),
  })
  return computed(() => query.data.value?.items ?? [])
}

/** What a rule would have done in the last day. */
export function usePreview(rule: Ref<NewRule>) {
  const query = useQuery({
    queryKey: computed(() => ['alerts', 'preview', rule.value]),
    placeholderData: keepPreviousData,
    retry: false,
    queryFn: ({ signal }) => answer(api.POST('/api/v1/ops/alerts/rules/preview', { body: rule.value, signal })),
  })
  return { preview: query.data, loading: query.isPending, problem: computed(() => problemOf(query.error.value)) }
}

/** Channels by name, for those who may see them. */
export function useChannelNames() {
  const session = useSession()
  const query = useQuery({
    queryKey: ['channels'],
    enabled: computed(() => session.can('read:notifications')),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/ops/alerts/channels', { params: { query: { limit: 200 } }, signal })),
  })
  return computed(() => query.data.value?.items ?? [])
}

export function useSilences() {
  const queries = useQueryClient()
  const live = useLive()
  const query = useQuery({
    queryKey: ['alerts', 'silences'],
    refetchInterval: live.interval,
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/ops/alerts/silences', { params: { query: { limit: 200 } }, signal })),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['alerts', 'silences'] })
  const create = useMutation({
    mutationFn: (body: { matchers: string[]; to: string; reason: string }) =>
      answer(
        api.POST('/api/v1/ops/alerts/silences', { params: { header: { 'idempotency-key': idempotencyKey() } }, body }),
      ),
    onSuccess: changed,
  })
  const end = useMutation({
    mutationFn: (id: string) => answer(api.POST('/api/v1/ops/alerts/silences/{id}/end', { params: { path: { id } } })),
    onSuccess: changed,
  })
  return {
    silences: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    create,
    end,
  }
}
