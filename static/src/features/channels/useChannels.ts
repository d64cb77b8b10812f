import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, etagOf, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import { useEdit, useLive } from '@/kit'
import type { Channel, ChannelChanges, NewChannel } from './channel'

const problemOf = (error: unknown) => (error ? Problem.from(error) : null)

export function useChannels() {
  const queries = useQueryClient()
  const live = useLive()
  const query = useQuery({
    queryKey: ['channels'],
    refetchInterval: live.interval,
    // There are never more than a hundred.
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/ops/alerts/channels', { params: { query: { limit: 200 } }, signal })),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['channels'] })
  const create = useMutation({
    mutationFn: (body: NewChannel) =>
      answer(
        api.POST('/api/v1/ops/alerts/channels', { params: { header: { 'idempotency-key': idempotencyKey() } }, body }),
      ),
    onSuccess: changed,
  })
  const remove = useMutation({
    mutationFn: ({ id, version }: Pick<Channel, 'id' | 'version'>) =>
      answer(
        api.DELETE('/api/v1/ops/alerts/channels/{id}', {
          params: { path: { id }, header: { 'if-match': etagOf({ version }) } },
        }),
      ),
    // Not its deliveries, which went with it; so did those of its notices that nobody got.
    onSettled: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: ['channels'], exact: true }),
        queries.invalidateQueries({ queryKey: ['channels', 'undelivered'] }),
      ]),
  })
  const test = useMutation({
    mutationFn: (id: string) => answer(api.POST('/api/v1/ops/alerts/channels/{id}/test', { params: { path: { id } } })),
    onSettled: changed,
  })
  const rotate = useMutation({
    mutationFn: (id: string) =>
      answer(api.POST('/api/v1/ops/alerts/channels/{id}/rotate', { params: { path: { id } } })),
    onSuccess: changed,
  })
  return {
    channels: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    changed,
    create,
    remove,
    test,
    rotate,
  }
}

export function useChannelEdit(id: () => string, changed: () => Promise<void>) {
  const path = () => ({ id: id() })
  return useEdit<Channel, ChannelChanges>({
    fetch: () => tagged(api.GET('/api/v1/ops/alerts/channels/{id}', { params: { path: path() } })),
    save: async (body, etag) => {
      await answer(
        api.PATCH('/api/v1/ops/alerts/channels/{id}', { params: { path: path(), header: { 'if-match': etag } }, body }),
      )
      await changed()
    },
  })
}

/** What a channel's receiver answered lately. */
export function useDeliveries(id: () => string | null) {
  const live = useLive()
  const query = useQuery({
    queryKey: computed(() => ['channels', 'deliveries', id()]),
    enabled: computed(() => id() !== null),
    refetchInterval: live.interval,
    queryFn: ({ signal }) =>
      answer(
        api.GET('/api/v1/ops/alerts/channels/{id}/deliveries', {
          params: { path: { id: id() ?? '' }, query: { limit: 50 } },
          signal,
        }),
      ),
  })
  return {
    deliveries: computed(() => query.data.value?.items ?? []),
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
  }
}
