// What is kept and for how long, and the months in the archive; asked again while a pass is under way.
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components } from '@/api/schema'
import { useEdit, useLive } from '@/kit'
import { onNews } from '@/live/push'
import type { PlaceChanges, PlaceState } from './place'

export type Kept = components['schemas']['Kept']
export type KeptKind = components['schemas']['KeptKind']
export type Archive = components['schemas']['ArchiveShown']

/** While a pass is under way its progress is asked for so often. */
const underWayMs = 1_000
const ours = /^(retention|archives)\./

export function useRetention() {
  const live = useLive()
  const queries = useQueryClient()
  const again = () => void queries.invalidateQueries({ queryKey: ['retention'] })
  const kept = useQuery({
    queryKey: ['retention', 'kept'],
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/retention', { signal })),
    refetchInterval: (query) => (query.state.data?.running ? underWayMs : live.interval.value),
    placeholderData: keepPreviousData,
  })
  const archives = useQuery({
    queryKey: ['retention', 'archives'],
    queryFn: ({ signal }) => answer(api.GET('/api/v1/archives', { signal })),
    refetchInterval: live.interval,
    placeholderData: keepPreviousData,
  })
  onNews('jobs', {
    news: (job) => {
      if (ours.test(job.kind)) again()
    },
    gap: again,
  })
  const header = () => ({ 'idempotency-key': idempotencyKey() })
  const cause = computed(() => kept.error.value ?? archives.error.value)
  return {
    kept: kept.data,
    archives: archives.data,
    problem: computed(() => (cause.value ? Problem.from(cause.value) : null)),
    retry: () => queries.refetchQueries({ queryKey: ['retention'] }),
    run: useMutation({
      mutationFn: () => answer(api.POST('/api/v1/ops/retention/run', { params: { header: header() } })),
      onSettled: again,
    }),
    archive: useMutation({
      mutationFn: () => answer(api.POST('/api/v1/archives', { params: { header: header() } })),
      onSettled: again,
    }),
    find: useMutation({
      mutationFn: () => answer(api.POST('/api/v1/archives/find', { params: { header: header() } })),
      onSettled: again,
    }),
    bringBack: useMutation({
      mutationFn: (id: string) =>
        answer(api.POST('/api/v1/archives/{id}/import', { params: { path: { id }, header: header() } })),
      onSettled: again,
    }),
  }
}

/** Where new months go: set, or left for the directory (nothing). */
export function useArchivePlace() {
  const queries = useQueryClient()
  const edit = useEdit<PlaceState, PlaceChanges | null>({
    fetch: () => tagged(api.GET('/api/v1/archives/place')),
    save: async (body, etag) => {
      const params = { header: { 'if-match': etag } }
      if (body) await answer(api.PUT('/api/v1/archives/place', { params, body }))
      else if (edit.base.value?.data.place) await answer(api.DELETE('/api/v1/archives/place', { params }))
      await queries.invalidateQueries({ queryKey: ['retention'] })
    },
  })
  const test = useMutation({ mutationFn: () => answer(api.POST('/api/v1/archives/place/test')) })
  return { edit, test }
}
