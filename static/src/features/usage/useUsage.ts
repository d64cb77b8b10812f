// What the usage page is made of: the range and the filter from the URL, and the server's numbers for them.
import { useThrottleFn } from '@vueuse/core'
import { keepPreviousData, useQueries, useQuery } from '@tanstack/vue-query'
import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { answer, api } from '@/api/client'
import { Problem } from '@/api/problem'
import type { paths } from '@/api/schema'
import { type FilterSpec, grainOf, rangeMs, useFilters, useLive, useTimeRange } from '@/kit'
import { onNews } from '@/live/push'
import { byChoice, useChoices, useNames } from '@/names'
import { usePreferences } from '@/preferences'
import { useText } from './messages'
import {
  daysBefore,
  type Filter,
  type FilterKey,
  filterKeys,
  filterOf,
  type Group,
  groups,
  hasHours,
  narrowed,
  rankedBy,
  rankedUnder,
  rowsOf,
  sameFilter,
  type UsageRow,
} from './rows'
import { type Measure, measures, type Part, partsMost } from './series'

type Query = NonNullable<paths['/api/v1/stats/overview']['get']['parameters']['query']>
type TrendQuery = NonNullable<paths['/api/v1/stats/trend']['get']['parameters']['query']>
type TopQuery = NonNullable<paths['/api/v1/stats/top']['get']['parameters']['query']>

/** The most that the server ranks. */
const rowsMost = 100
/** While calls come in, numbers are asked for again at most so often; rankings cost the server more. */
const countEveryMs = 10_000
const rankEveryMs = 60_000

export function useUsage() {
  const t = useText()
  const route = useRoute()
  const router = useRouter()
  const range = useTimeRange()
  const live = useLive()
  const names = useNames(['accounts'])
  const choices = useChoices()
  const preferences = usePreferences()
  const stretch = computed(() => ({ ...range.query.value, currency: preferences.currency }))

  const one = <T extends string>(key: string, known: readonly T[], otherwise: T) =>
    computed({
      get: (): T => known.find((value) => value === route.query[key]) ?? otherwise,
      set: (value: T) =>
        void router.replace({ query: { ...route.query, [key]: value === otherwise ? undefined : value } }),
    })
  const group = one<Group>('by', groups, 'model')
  const measure = one<Measure>('measure', measures, 'requests')

  const specs = computed<FilterSpec[]>(() => {
    const options = {
      account_id: names.accounts.value,
      mode: [
        { value: 'api', label: t('mode.api') },
        { value: 'web', label: t('mode.web') },
      ],
    }
    const found = { token_id: choices.tokens.value, tenant_id: choices.tenants.value }
    return filterKeys.map((key): FilterSpec => {
      if (key === 'token_id' || key === 'tenant_id') return byChoice(key, t(`filter.${key}`), found[key])
      const known = key in options ? options[key as keyof typeof options] : undefined
      return { key, label: t(`filter.${key}`), kind: known ? 'select' : 'text', options: known }
    })
  })
  const all = useFilters(() => specs.value)
  const filter = computed<Filter>(() => all.values.value)
  const go = (next: Filter) => {
    const rest = Object.fromEntries(
      Object.entries(route.query).filter(([key]) => !filterKeys.includes(key as FilterKey)),
    )
    void router.push({ query: { ...rest, ...next } })
  }
  /** Numbers are kept for some things together: what does not go with a new filter leaves. */
  const filters = {
    ...all,
    set(key: string, value: string | null) {
      if (value) go(narrowed(filter.value, { [key]: value }))
      else go(Object.fromEntries(Object.entries(filter.value).filter(([name]) => name !== key)))
    },
  }
  const isFiltered = computed(() => Object.keys(filter.value).length > 0)
  const view = computed({
    get: (): 'parts' | 'against' => (isFiltered.value || route.query.view === 'against' ? 'against' : 'parts'),
    set: (to) => void router.replace({ query: { ...route.query, view: to === 'parts' ? undefined : to } }),
  })

  const rankings = {
    placeholderData: keepPreviousData,
    refetchInterval: computed(() =>
      live.interval.value === false ? false : Math.max(live.interval.value, rankEveryMs),
    ),
  }
  const sort = computed(() => (typeof route.query.sort === 'string' ? route.query.sort : '-requests'))
  const under = computed(() => rankedUnder(group.value, filter.value))
  const wanted = computed(() => ({
    ...under.value,
    currency: preferences.currency,
    by: group.value,
    sort: rankedBy(sort.value),
    limit: rowsMost,
  }))
  const ranked = (asked: object, signal: AbortSignal) =>
    answer(api.GET('/api/v1/stats/top', { params: { query: { ...wanted.value, ...asked } as TopQuery }, signal }))
  const ranking = useQuery({
    queryKey: computed(() => ['rankings', wanted.value, range.query.value]),
    queryFn: ({ signal }) => ranked(range.query.value, signal),
    ...rankings,
  })
  /** What is told of the group before is not this group's. */
  const current = computed(() => (ranking.data.value?.by === group.value ? ranking.data.value : undefined))
  const rankingBefore = useQuery({
    queryKey: computed(() => ['rankings', wanted.value, current.value && daysBefore(current.value)]),
    enabled: computed(() => current.value !== undefined),
    queryFn: ({ signal }) => ranked(daysBefore(current.value!), signal),
    staleTime: Infinity,
  })
  const rows = computed(() => rowsOf(current.value, rankingBefore.data.value))

  const partOf = (row: UsageRow) => filterOf(group.value, row)
  const grain = computed(() => {
    const now = Date.now()
    const { from } = range.query.value
    const asked: Filter =
      view.value === 'parts' ? (rows.value.map(partOf).find((part) => part !== null) ?? {}) : filter.value
    return hasHours(asked, from ? Date.parse(from) : now - rangeMs(range.query.value, now), now)
      ? grainOf(range.query.value, now)
      : 'day'
  })

  const slow = { placeholderData: keepPreviousData, refetchInterval: live.interval }
  const overview = useQuery({
    queryKey: computed(() => ['usage', 'overview', stretch.value, filter.value]),
    queryFn: ({ signal }) =>
      answer(
        api.GET('/api/v1/stats/overview', {
          params: { query: { ...stretch.value, ...filter.value } as Query },
          signal,
        }),
      ),
    ...slow,
  })
  const trendOf = (asked: Record<string, string | undefined>, by: 'hour' | 'day') => ({
    queryKey: ['usage', 'trend', asked, by],
    queryFn: ({ signal }: { signal: AbortSignal }) =>
      answer(api.GET('/api/v1/stats/trend', { params: { query: { ...asked, by } as TrendQuery }, signal })),
    ...slow,
  })
  const trend = useQuery(computed(() => trendOf({ ...stretch.value, ...filter.value }, grain.value)))
  const earlier = useQuery(
    computed(() => {
      const before = overview.data.value?.previous
      return {
        ...trendOf(
          { from: before?.from, to: before?.to, currency: preferences.currency, ...filter.value },
          grain.value,
        ),
        enabled: view.value === 'against' && before !== undefined,
        refetchInterval: false as const,
      }
    }),
  )

  const called = (row: Pick<UsageRow, 'name'>) =>
    group.value === 'mode' && (row.name === 'api' || row.name === 'web')
      ? t(`mode.${row.name}`)
      : row.name || t(`nobody.${group.value}`)
  const greatest = computed(() =>
    view.value === 'parts' ? rows.value.filter((row) => partOf(row) !== null).slice(0, partsMost) : [],
  )
  const partTrends = useQueries({
    queries: computed(() => greatest.value.map((row) => trendOf({ ...stretch.value, ...partOf(row)! }, grain.value))),
  })
  const parts = computed<Part[]>(() =>
    greatest.value.map((row, index) => ({
      key: row.key,
      name: called(row),
      points: partTrends.value[index]?.data?.items ?? [],
    })),
  )

  // Told that calls were counted, the numbers are asked for again; rankings wait for their turn.
  let counted = -1
  const countAgain = useThrottleFn(() => void Promise.all([overview.refetch(), trend.refetch()]), countEveryMs, true)
  onNews('stats', {
    news: (stats) => {
      const calls = stats.today?.request_count ?? counted
      if (counted >= 0 && calls !== counted) void countAgain()
      counted = calls
    },
  })

  const isSelected = (row: UsageRow) => {
    const its = filterOf(group.value, row)
    return its !== null && isFiltered.value && sameFilter(narrowed(under.value, its), filter.value)
  }

  const problemOf = (cause: unknown) => (cause ? Problem.from(cause) : null)
  return {
    group,
    measure,
    view,
    specs,
    filters,
    filter,
    isFiltered,
    overview: overview.data,
    trend: trend.data,
    earlier: computed(() => (view.value === 'against' ? earlier.data.value : undefined)),
    parts,
    rows,
    rankedFrom: computed(() => current.value ?? null),
    ranking: {
      loading: computed(() => current.value === undefined && !ranking.error.value),
      refreshing: ranking.isFetching,
      problem: computed(() => problemOf(ranking.error.value)),
      retry: () => ranking.refetch(),
    },
    problem: computed(() => problemOf(overview.error.value ?? trend.error.value)),
    retry: () => Promise.all([overview.refetch(), trend.refetch(), ranking.refetch()]),
    called,
    sort,
    /** What the table is narrowed to, beside its range. */
    under,
    stretch,
    isSelected,
    /** Shows a row's calls alone, or those beside them again. */
    choose(row: UsageRow) {
      const its = filterOf(group.value, row)
      if (its) go(isSelected(row) ? under.value : narrowed(filter.value, its))
    },
  }
}
