import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { answer, api, etagOf, everyPage, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import { useEdit, useLive } from '@/kit'
import { onAnyNews } from '@/live/push'
import { useSession } from '@/session'
import type { NewReport, Report, ReportChanges } from './report'

const problemOf = (error: unknown) => (error ? Problem.from(error) : null)

export function useReports() {
  const queries = useQueryClient()
  const route = useRoute()
  const router = useRouter()
  const query = useQuery({
    queryKey: ['reports', 'list'],
    refetchInterval: useLive().interval,
    // There are never more than five hundred.
    queryFn: ({ signal }) =>
      everyPage((page) => answer(api.GET('/api/v1/reports', { params: { query: page }, signal }))),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['reports'] })
  // Reports are counted by jobs.
  onAnyNews('jobs', 1_000, () => void changed())
  const create = useMutation({
    mutationFn: (body: NewReport) =>
      answer(api.POST('/api/v1/reports', { params: { header: { 'idempotency-key': idempotencyKey() } }, body })),
    onSuccess: changed,
  })
  const remove = useMutation({
    mutationFn: ({ id, version }: Pick<Report, 'id' | 'version'>) =>
      answer(
        api.DELETE('/api/v1/reports/{id}', {
          params: { path: { id }, header: { 'if-match': etagOf({ version }) } },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: ['reports', 'list'] }),
  })
  const selected = computed(() => (typeof route.params.id === 'string' && route.params.id ? route.params.id : null))
  const open = (id: string | null) =>
    router.push({ name: 'reports', params: { id: id ?? '' }, query: router.currentRoute.value.query })
  return {
    reports: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    changed,
    create,
    remove,
    selected,
    open,
  }
}

/** One report, its runs, and the run that is looked at: the latest unless another was chosen. */
export function useReport(id: () => string | null, chosen: () => string | null) {
  const queries = useQueryClient()
  const session = useSession()
  const live = useLive()
  const path = () => ({ id: id() ?? '' })
  const isOpen = computed(() => id() !== null)
  const mayCount = computed(() => session.can('read:stats'))
  const report = useQuery({
    queryKey: computed(() => ['reports', 'one', id()]),
    enabled: isOpen,
    refetchInterval: live.interval,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/reports/{id}', { params: { path: path() }, signal })),
  })
  const runs = useQuery({
    queryKey: computed(() => ['reports', 'runs', id()]),
    enabled: computed(() => isOpen.value && mayCount.value),
    refetchInterval: live.interval,
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/reports/{id}/runs', { params: { path: path(), query: { limit: 50 } }, signal })),
  })
  const list = computed(() => runs.data.value?.items ?? [])
  const shown = computed(() => chosen() ?? list.value.find((run) => run.state === 'done')?.id ?? null)
  const told = useQuery({
    queryKey: computed(() => ['reports', 'told', id(), shown.value]),
    enabled: computed(() => isOpen.value && mayCount.value && shown.value !== null),
    queryFn: ({ signal }) =>
      answer(
        api.GET('/api/v1/reports/{id}/runs/{run}', {
          params: { path: { ...path(), run: shown.value ?? '' } },
          signal,
        }),
      ),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['reports'] })
  const run = useMutation({
    mutationFn: (deliver: boolean) =>
      answer(
        api.POST('/api/v1/reports/{id}/run', {
          params: { path: path(), header: { 'idempotency-key': idempotencyKey() } },
          body: { deliver },
        }),
      ),
    onSettled: changed,
  })
  return {
    report: computed(() => report.data.value ?? null),
    problem: computed(() => problemOf(report.error.value)),
    retry: () => report.refetch(),
    retryRuns: () => runs.refetch(),
    retryTold: () => told.refetch(),
    runs: list,
    runsProblem: computed(() => problemOf(runs.error.value)),
    shown,
    told: computed(() => told.data.value ?? null),
    toldProblem: computed(() => problemOf(told.error.value)),
    mayCount,
    run,
  }
}

export function useReportEdit(id: () => string, changed: () => Promise<void>) {
  const path = () => ({ id: id() })
  return useEdit<Report, ReportChanges>({
    fetch: () => tagged(api.GET('/api/v1/reports/{id}', { params: { path: path() } })),
    save: async (body, etag) => {
      await answer(api.PATCH('/api/v1/reports/{id}', { params: { path: path(), header: { 'if-match': etag } }, body }))
      await changed()
    },
  })
}

/** Channels that reports can be sent to. */
export function useReceivers() {
  const session = useSession()
  const query = useQuery({
    queryKey: ['channels', 'names'],
    staleTime: 60_000,
    enabled: computed(() => session.can('read:notifications')),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/ops/alerts/channels', { params: { query: { limit: 200 } }, signal })),
  })
  return computed(() =>
    (query.data.value?.items ?? []).filter((channel) => !['pagerduty', 'alertmanager'].includes(channel.kind)),
  )
}
