// Notices that were given up or cannot be read, of every channel: a page at a time, newest first.
import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api } from '@/api/client'
import { Problem } from '@/api/problem'
import { useLive } from '@/kit'

export function useUndelivered() {
  const queries = useQueryClient()
  const live = useLive()
  const query = useInfiniteQuery({
    queryKey: ['channels', 'undelivered'],
    refetchInterval: live.interval,
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: { next_cursor?: string | null }) => last.next_cursor ?? undefined,
    queryFn: ({ pageParam, signal }) =>
      answer(
        api.GET('/api/v1/ops/alerts/notices/undelivered', {
          params: { query: { limit: 20, ...(pageParam ? { cursor: pageParam } : {}) } },
          signal,
        }),
      ),
  })
  const notices = computed(() => query.data.value?.pages.flatMap((page) => page.items) ?? [])
  // Refused or not, what stands now is shown: others of one message go with it, and so do a channel's deliveries.
  const onSettled = () => queries.invalidateQueries({ queryKey: ['channels'] })
  const send = useMutation({
    mutationFn: (id: string) => answer(api.POST('/api/v1/ops/alerts/notices/{id}/send', { params: { path: { id } } })),
    onSettled,
  })
  const discard = useMutation({
    mutationFn: (id: string) =>
      answer(api.POST('/api/v1/ops/alerts/notices/{id}/discard', { params: { path: { id } } })),
    onSettled,
  })
  return {
    notices,
    total: computed(() => query.data.value?.pages[0]?.total ?? notices.value.length),
    /** Fetches those after the last one; null when there are no more. */
    more: computed(() => (query.hasNextPage.value ? () => void query.fetchNextPage() : null)),
    coming: query.isFetchingNextPage,
    loading: query.isPending,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    send,
    discard,
  }
}
export type Undelivered = ReturnType<typeof useUndelivered>
