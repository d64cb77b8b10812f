import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed, ref } from 'vue'
import { answer, api, everyPage, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import { useEdit, useLive } from '@/kit'
import type { Account, AccountChanges, NewAccount } from './account'

export function useAccounts() {
  const live = useLive()
  const query = useQuery({
    queryKey: ['accounts', 'list'],
    refetchInterval: live.interval,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => everyPage((query) => answer(api.GET('/api/v1/accounts', { params: { query }, signal }))),
  })
  return {
    accounts: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
  }
}

export const testAccount = (id: string) => answer(api.POST('/api/v1/accounts/{id}/test', { params: { path: { id } } }))

export function useAccount(id: () => string | null) {
  const queries = useQueryClient()
  const live = useLive()
  /** Being deleted: whether it still is there is asked no more, whatever news come meanwhile. */
  const leaving = ref<string | null>(null)
  const query = useQuery({
    queryKey: computed(() => ['accounts', 'one', id()]),
    enabled: computed(() => id() !== null && id() !== leaving.value),
    refetchInterval: live.interval,
    queryFn: ({ signal }) => tagged(api.GET('/api/v1/accounts/{id}', { params: { path: { id: id()! } }, signal })),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['accounts'] })
  const path = () => ({ id: id() ?? '' })
  const fetch = (id: string) => tagged(api.GET('/api/v1/accounts/{id}', { params: { path: { id } } }))
  async function change(id: string, changes: AccountChanges, etag: string) {
    await answer(
      api.PATCH('/api/v1/accounts/{id}', { params: { path: { id }, header: { 'if-match': etag } }, body: changes }),
    )
    await changed()
  }
  const edit = useEdit<Account, AccountChanges>({
    fetch: () => fetch(path().id),
    save: (changes, etag) => change(path().id, changes, etag),
  })
  /** Of the account that is named, whichever is shown: what is undone is undone where it was done. */
  const turn = async (id: string, enabled: boolean) => change(id, { enabled }, (await fetch(id)).etag)
  const remove = useMutation({
    mutationFn: () => {
      const header = { 'if-match': query.data.value?.etag ?? '' }
      return answer(api.DELETE('/api/v1/accounts/{id}', { params: { path: path(), header } }))
    },
    onMutate: () => void (leaving.value = id()),
    onError: () => void (leaving.value = null),
    // The lists only: the record itself is gone, and asking for it again would be an error.
    onSuccess: () =>
      queries.invalidateQueries({ queryKey: ['accounts'], predicate: ({ queryKey }) => queryKey[1] !== 'one' }),
  })
  const test = useMutation({ mutationFn: () => testAccount(path().id), onSettled: changed })
  const offered = useMutation({
    mutationFn: () => answer(api.GET('/api/v1/accounts/{id}/models', { params: { path: path() } })),
  })
  return {
    account: computed(() => query.data.value?.data ?? null),
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    edit,
    turn,
    remove,
    test,
    offered,
  }
}

export function useCreateAccount() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (body: NewAccount) =>
      answer(api.POST('/api/v1/accounts', { params: { header: { 'idempotency-key': idempotencyKey() } }, body })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['accounts'] }),
  })
}
