import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/vue-query'
import { useThrottleFn } from '@vueuse/core'
import { computed, type Ref, ref, shallowRef } from 'vue'
import { answer, api, everyPage } from '@/api/client'
import { Problem } from '@/api/problem'
import { grainOf, useLive, useTimeRange } from '@/kit'
import { onTop } from '@/live/latest'
import { onAnyNews, onNews } from '@/live/push'
import { followSupervision } from '@/live/supervision'
import type { News } from '@/live/topics'
import { usePreferences } from '@/preferences'
import { useSession } from '@/session'

const latestCalls = 10
const latestAlerts = 6
/** The range's numbers are asked for again at most so often while calls come in. */
const countEveryMs = 5_000

export function useOverview() {
  const live = useLive()
  const session = useSession()
  const range = useTimeRange()
  const common = { refetchInterval: live.interval, placeholderData: keepPreviousData }
  const sees = (permission: string) => computed(() => session.can(permission))
  const preferences = usePreferences()
  const query = computed(() => ({ ...range.query.value, currency: preferences.currency }))

  const overview = useQuery({
    queryKey: computed(() => ['stats', 'overview', query.value]),
    enabled: sees('read:stats'),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/stats/overview', { params: { query: query.value }, signal })),
    ...common,
  })
  const trend = useQuery({
    queryKey: computed(() => ['stats', 'trend', query.value]),
    enabled: sees('read:stats'),
    queryFn: ({ signal }) =>
      answer(
        api.GET('/api/v1/stats/trend', {
          params: { query: { ...query.value, by: grainOf(query.value, Date.now()) } },
          signal,
        }),
      ),
    ...common,
  })
  // Of each of the last 30 days, whatever the range: whether people come back is told by weeks.
  const users = useQuery({
    queryKey: ['active-users'],
    enabled: sees('read:stats'),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/stats/daily-active-users', { signal })),
    ...common,
    staleTime: 60_000,
  })
  // Not among the numbers that are asked for with every call: what conversations there are is counted by the minute.
  const talks = useQuery({
    queryKey: computed(() => ['conversation-count', range.query.value]),
    enabled: sees('read:stats'),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/stats/conversations', { params: { query: range.query.value }, signal })),
    ...common,
    refetchInterval: 60_000,
  })
  // Of the whole installation: who sees one tenant only is refused, and sees none of it.
  const dashboard = useQuery({
    queryKey: ['dashboard', 'overview'],
    enabled: sees('read:stats'),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/dashboard/overview', { signal })),
    ...common,
    refetchInterval: 60_000,
  })
  const week = useQuery({
    queryKey: ['dashboard', 'week'],
    enabled: sees('read:stats'),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/dashboard/trends', { signal })),
    ...common,
    refetchInterval: 300_000,
  })
  const latest = useQuery({
    queryKey: ['requests', 'latest'],
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/logs/requests', { params: { query: { limit: latestCalls } }, signal })),
    ...common,
    refetchInterval: live.unless('requests'),
  })
  const ledger = useQuery({
    queryKey: ['supervision', 'ledger'],
    enabled: sees('read:supervision'),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/supervision/ledger', { signal })),
    ...common,
    refetchInterval: live.unless('supervision'),
  })
  const tree = useQuery({
    queryKey: ['supervision', 'tree'],
    enabled: sees('read:supervision'),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/supervision/tree', { signal })),
    ...common,
    refetchInterval: live.unless('supervision'),
  })
  const accounts = useQuery({
    queryKey: ['accounts', 'list'],
    enabled: sees('read:accounts'),
    queryFn: ({ signal }) => everyPage((query) => answer(api.GET('/api/v1/accounts', { params: { query }, signal }))),
    ...common,
  })
  const health = useQuery({
    queryKey: ['health', 'components'],
    enabled: sees('read:supervision'),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/system/components', { signal })),
    ...common,
  })
  const alerts = useQuery({
    queryKey: ['alerts', 'recent'],
    enabled: sees('read:alerts'),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/ops/alerts/history', { params: { query: { limit: latestAlerts } }, signal })),
    ...common,
    refetchInterval: live.unless('alerts'),
  })
  const feedback = useQuery({
    queryKey: ['feedback', 'pending'],
    enabled: sees('read:feedback'),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/feedback', { params: { query: { status: 'open', limit: 1 } }, signal })),
    ...common,
  })
  const tokens = useQuery({
    queryKey: ['tokens', 'any'],
    enabled: sees('read:tokens'),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/tokens', { params: { query: { limit: 1 } }, signal })),
    ...common,
  })

  // Pushed: the calls themselves, what moves now, and that the numbers of the range have moved.
  const queries = useQueryClient()
  onNews('requests', {
    when: () => session.can('read:logs'),
    news: ({ items }) =>
      queries.setQueryData<NonNullable<typeof latest.data.value>>(
        ['requests', 'latest'],
        (known) => known && { ...known, items: onTop(items, known.items, latestCalls) },
      ),
    gap: () => void latest.refetch(),
  })
  const now = shallowRef<News['stats'] | null>(null)
  const counted = ref(-1)
  const countAgain = useThrottleFn(() => void queries.invalidateQueries({ queryKey: ['stats'] }), countEveryMs, true)
  onNews('stats', {
    when: () => session.can('read:stats'),
    news: (stats) => {
      now.value = stats
      const calls = stats.today?.request_count ?? counted.value
      if (counted.value >= 0 && calls !== counted.value) void countAgain()
      counted.value = calls
    },
  })
  followSupervision(() => session.can('read:supervision'))
  onAnyNews(
    'health',
    2_000,
    () => void accounts.refetch(),
    () => session.can('read:accounts'),
  )
  onAnyNews(
    'health',
    2_000,
    () => void health.refetch(),
    () => session.can('read:supervision'),
  )
  onAnyNews(
    'alerts',
    1_000,
    () => void alerts.refetch(),
    () => session.can('read:alerts'),
  )
  const problem = computed(() => {
    const found = (queries: { error: Ref<Error | null> }[]) =>
      queries.flatMap(({ error }) => (error.value ? [Problem.from(error.value)] : []))
    const asked = found([overview, trend, latest, alerts, health])
    // Some of these span tenants: to whom they are withheld, nothing is missing.
    const besides = found([users, talks, ledger, tree, accounts, feedback, tokens])
    return asked[0] ?? besides.find(({ status }) => status !== 403) ?? null
  })
  /** What is still to be done before the first call; null while it is not known. */
  const steps = computed(() => {
    if (!accounts.data.value || !tokens.data.value || !latest.data.value) return null
    return {
      account: accounts.data.value.items.length > 0,
      key: tokens.data.value.items.length > 0,
      call: latest.data.value.items.length > 0,
    }
  })
  return {
    overview: overview.data,
    trend: trend.data,
    /** Undefined also for those who may not see users of the whole installation. */
    users: users.data,
    usersAreComing: users.isLoading,
    talks: talks.data,
    dashboard: dashboard.data,
    week: week.data,
    /** Whether there is something of them to be seen, or still to come. */
    seesHouse: computed(() => dashboard.isLoading.value || dashboard.data.value !== undefined),
    latest: latest.data,
    /** What moves, while it is pushed. */
    now: computed(() => (live.state.value === 'live' ? now.value : null)),
    ledger: ledger.data,
    tree: tree.data,
    accounts: accounts.data,
    health: health.data,
    /** Undefined for those who may not see them. */
    alerts: alerts.data,
    pendingFeedback: computed(() => feedback.data.value?.total ?? undefined),
    seesAlerts: sees('read:alerts'),
    steps,
    problem,
    seesStats: sees('read:stats'),
    seesLog: sees('read:logs'),
    /** Asks again for whatever was refused. */
    retry: () => queries.refetchQueries({ type: 'active', predicate: ({ state }) => state.status === 'error' }),
  }
}
