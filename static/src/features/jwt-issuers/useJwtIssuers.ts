import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, etagOf, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import { useEdit, useLive } from '@/kit'
import { useSession } from '@/session'
import type { Availabilities, Issuer, IssuerChanges, NewIssuer } from './issuer'

const problemOf = (error: unknown) => (error ? Problem.from(error) : null)

const fetch = (id: string) => tagged(api.GET('/api/v1/jwt-issuers/{id}', { params: { path: { id } } }))
const patch = (id: string, body: IssuerChanges, etag: string) =>
  answer(api.PATCH('/api/v1/jwt-issuers/{id}', { params: { path: { id }, header: { 'if-match': etag } }, body }))

export function useJwtIssuers() {
  const queries = useQueryClient()
  const live = useLive()
  const query = useQuery({
    queryKey: ['jwt-issuers'],
    refetchInterval: live.interval,
    // There are never more than a hundred.
    queryFn: ({ signal }) => answer(api.GET('/api/v1/jwt-issuers', { params: { query: { limit: 200 } }, signal })),
  })
  const changed = () =>
    Promise.all([
      queries.invalidateQueries({ queryKey: ['jwt-issuers'] }),
      queries.invalidateQueries({ queryKey: ['jwt-availability'] }),
    ])
  const create = useMutation({
    mutationFn: (body: NewIssuer) =>
      answer(api.POST('/api/v1/jwt-issuers', { params: { header: { 'idempotency-key': idempotencyKey() } }, body })),
    onSuccess: changed,
  })
  const remove = useMutation({
    mutationFn: ({ id, version }: Pick<Issuer, 'id' | 'version'>) =>
      answer(
        api.DELETE('/api/v1/jwt-issuers/{id}', {
          params: { path: { id }, header: { 'if-match': etagOf({ version }) } },
        }),
      ),
    onSettled: changed,
  })
  const rotate = useMutation({
    mutationFn: ({ id, version, grace_s }: { id: string; version: number; grace_s: number }) =>
      answer(
        api.POST('/api/v1/jwt-issuers/{id}/rotate', {
          params: { path: { id } },
          headers: { 'if-match': etagOf({ version }) },
          body: { grace_s },
        }),
      ),
    onSettled: changed,
  })
  const test = useMutation({
    mutationFn: ({ id, token }: { id: string; token: string | null }) =>
      answer(
        api.POST('/api/v1/jwt-issuers/{id}/test', { params: { path: { id } }, body: token === null ? {} : { token } }),
      ),
    onSettled: changed,
  })
  const issue = useMutation({
    mutationFn: ({ id, sub }: { id: string; sub: string }) =>
      answer(api.POST('/api/v1/jwt-issuers/{id}/tokens', { params: { path: { id } }, body: { sub } })),
  })
  /** Of the issuer that is named, whichever is shown: what is undone is undone where it was done. */
  const turn = useMutation({
    mutationFn: async ({ id, enabled }: { id: string; enabled: boolean }) =>
      patch(id, { enabled }, (await fetch(id)).etag),
    onSettled: changed,
  })
  return {
    issuers: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    changed,
    create,
    remove,
    rotate,
    test,
    issue,
    turn,
  }
}

export const useIssuerEdit = (id: () => string, changed: () => Promise<unknown>) =>
  useEdit<Issuer, IssuerChanges>({
    fetch: () => fetch(id()),
    save: async (body, etag) => {
      await patch(id(), body, etag)
      await changed()
    },
  })

/** How much of the last seven days tokens could be issued and keys be fetched; asked for often while it is not known of all. */
export function useAvailability(looked: () => readonly Issuer[]) {
  const session = useSession()
  const live = useLive()
  const query = useQuery<Availabilities>({
    queryKey: ['jwt-availability'],
    enabled: computed(() => session.can('read:stats')),
    refetchInterval: ({ state }) => {
      const known = new Map((state.data?.issuers ?? []).map((one) => [one.id, one.status]))
      return looked().every(({ id }) => (known.get(id) ?? 'unknown') !== 'unknown') ? live.interval.value : 2_000
    },
    queryFn: ({ signal }) => answer(api.GET('/api/v1/stats/jwt-availability', { signal })),
  })
  const issuers = computed(() => new Map((query.data.value?.issuers ?? []).map((one) => [one.id, one])))
  return { availability: query.data, of: (id: string) => issuers.value.get(id) }
}

/** The making of an API key for an issuer alone. */
export function useNewKey() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: ({ name, description }: { name: string; description: string }) =>
      answer(
        api.POST('/api/v1/tokens', {
          params: { header: { 'idempotency-key': idempotencyKey() } },
          body: { name, description },
        }),
      ),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['tokens'] }),
  })
}
