// The log's lines: filters and range from the URL, newer lines as they are pushed, unless the tail is paused.
import { useMutation, useQuery } from '@tanstack/vue-query'
import { computed, ref, watch } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { answer, api } from '@/api/client'
import { download } from '@/api/download'
import { Problem } from '@/api/problem'
import type { components, paths } from '@/api/schema'
import { type CursorList, type FilterSpec, useCursorList, useFilters, useLive, useOutside, useTimeRange } from '@/kit'
import { onAnyNews } from '@/live/push'
import { firstLevel, levelOf, levels } from './levels'
import { useText } from './messages'

export type Line = components['schemas']['LogLine']
type Query = NonNullable<paths['/api/v1/ops/logs/query']['get']['parameters']['query']>

export function useLogs() {
  const t = useText()
  const route = useRoute()
  const router = useRouter()
  const live = useLive()
  const range = useTimeRange()
  const specs = computed<FilterSpec[]>(() => [
    {
      key: 'level',
      label: t('filter.level'),
      kind: 'select',
      options: levels.map((level) => ({ value: level, label: t(`from.${level}`) })),
    },
    { key: 'source', label: t('filter.source'), kind: 'text', placeholder: 'steward::gateway' },
    { key: 'user', label: t('filter.user'), kind: 'text', placeholder: 'admin' },
    { key: 'request_id', label: t('filter.request_id'), kind: 'text' },
  ])
  const filters = useFilters(() => specs.value)
  const level = computed({
    get: () => levelOf(filters.values.value.level),
    set: (to) => void router.push({ query: { ...route.query, level: to === firstLevel ? undefined : to } }),
  })
  const query = computed(() => ({ ...range.query.value, ...filters.values.value, level: level.value }) as Query)
  // The tail: shown at once to somebody at its end, announced to somebody who reads further down or has paused it.
  const paused = ref(false)
  const list = useCursorList<Line>({
    key: computed(() => JSON.stringify(query.value)),
    rowKey: (line) => line.id,
    newestFirst: () => true,
    isHeld: () => paused.value,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/ops/logs/query', {
          params: { query: { ...query.value, limit: 100, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  const outside = useOutside({
    key: 'logs',
    list,
    filters,
    latest: async (signal) =>
      (await answer(api.GET('/api/v1/ops/logs/query', { params: { query: { level: level.value, limit: 1 } }, signal })))
        .items[0]?.at ?? null,
  })
  const stats = useQuery({
    queryKey: ['logs', 'stats'],
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/logs/stats', { signal })),
    refetchInterval: live.interval,
  })

  watch(paused, (now) => now || list.restart())
  onAnyNews(() => `logs:${level.value}`, 500, list.again)

  const save = useMutation({
    mutationFn: async () => {
      const url = new URL('/api/v1/ops/logs/export', location.origin)
      for (const [name, value] of Object.entries(query.value)) {
        if (value !== undefined && value !== null) url.searchParams.set(name, String(value))
      }
      await download(url)
    },
  })
  return { specs, filters, level, list, outside, paused, stats: stats.data, save }
}

/** One line. Most are opened from the list; one that is not among its rows is asked for. */
export function useLine(id: () => string | null, list: Pick<CursorList<Line>, 'count' | 'at' | 'loading'>) {
  const listed = computed(() => {
    const wanted = id()
    for (let index = 0; wanted !== null && index < list.count.value; index++) {
      const line = list.at(index)
      if (line?.id === wanted) return line
    }
    return null
  })
  const asked = useQuery({
    queryKey: computed(() => ['logs', 'one', id()]),
    enabled: computed(() => id() !== null && listed.value === null && !list.loading.value),
    // A line never changes.
    staleTime: Infinity,
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/ops/logs/query/{id}', { params: { path: { id: id() ?? '' } }, signal })),
  })
  const line = computed(() => listed.value ?? (id() === null ? null : (asked.data.value ?? null)))
  return {
    line,
    problem: computed(() => (line.value || !asked.error.value ? null : Problem.from(asked.error.value))),
    retry: () => asked.refetch(),
  }
}
