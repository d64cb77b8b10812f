import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, everyPage, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components, paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useEdit, useFilters, useLive } from '@/kit'
import { byChoice, useChoices } from '@/names'
import { useSession } from '@/session'
import { useText } from './messages'
import type { Token } from './token'

export type NewToken = components['schemas']['NewToken']
export type TokenChanges = components['schemas']['TokenChanges']
export type Issued = components['schemas']['IssuedToken']
type Query = NonNullable<paths['/api/v1/tokens']['get']['parameters']['query']>

/** Who is called; nobody as long as it is not known. */
export function useUpstreams() {
  const session = useSession()
  const query = useQuery({
    queryKey: ['accounts', 'names'],
    staleTime: 60_000,
    enabled: computed(() => session.can('read:accounts')),
    queryFn: ({ signal }) => everyPage((query) => answer(api.GET('/api/v1/accounts', { params: { query }, signal }))),
  })
  return computed(() => query.data.value?.items ?? [])
}

/** What one of them says it has: of what was installed somewhere nobody else knows. */
export function useModelsOf(id: () => string | null) {
  const query = useQuery({
    queryKey: computed(() => ['accounts', 'has', id()]),
    staleTime: 60_000,
    enabled: computed(() => id() !== null),
    queryFn: ({ signal }) =>
      answer(api.GET('/api/v1/accounts/{id}/models', { params: { path: { id: id()! } }, signal })),
  })
  return computed(() => (id() === null ? [] : (query.data.value?.items ?? []).map((model) => model.id)))
}

export function useTokens() {
  const t = useText()
  const choices = useChoices()
  const specs = computed<FilterSpec[]>(() => [
    {
      key: 'enabled',
      label: t('filter.enabled'),
      kind: 'select',
      options: [
        { value: 'true', label: t('filter.yes') },
        { value: 'false', label: t('filter.no') },
      ],
    },
    { key: 'app', label: t('filter.app'), kind: 'text' },
    byChoice('tenant_id', t('filter.tenant_id'), choices.tenants.value),
    {
      key: 'with_revoked',
      label: t('filter.with_revoked'),
      kind: 'select',
      options: [{ value: 'true', label: t('filter.shown') }],
    },
  ])
  const filters = useFilters(() => specs.value)
  const query = computed(() => {
    const { enabled, with_revoked, ...words } = filters.values.value
    return {
      ...words,
      ...(enabled ? { enabled: enabled === 'true' } : {}),
      ...(with_revoked ? { with_revoked: true } : {}),
    } as Query
  })
  const list = useCursorList<Token>({
    key: computed(() => JSON.stringify(query.value)),
    rowKey: (token) => token.id,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/tokens', {
          params: { query: { ...query.value, limit: 100, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  return { specs, filters, list }
}

export function useToken(id: () => string | null) {
  const queries = useQueryClient()
  const live = useLive()
  const query = useQuery({
    queryKey: computed(() => ['tokens', 'one', id()]),
    enabled: computed(() => id() !== null),
    refetchInterval: live.interval,
    queryFn: ({ signal }) => tagged(api.GET('/api/v1/tokens/{id}', { params: { path: { id: id()! } }, signal })),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['tokens'] })
  const path = () => ({ id: id() ?? '' })
  const fetch = (id: string) => tagged(api.GET('/api/v1/tokens/{id}', { params: { path: { id } } }))
  async function change(id: string, changes: TokenChanges, etag: string) {
    await answer(
      api.PATCH('/api/v1/tokens/{id}', { params: { path: { id }, header: { 'if-match': etag } }, body: changes }),
    )
    await changed()
  }
  const edit = useEdit<Token, TokenChanges>({
    fetch: () => fetch(path().id),
    save: (changes, etag) => change(path().id, changes, etag),
  })
  /** Of the key that is named, whichever is shown: what is undone is undone where it was done. */
  const turn = async (id: string, enabled: boolean) => change(id, { enabled }, (await fetch(id)).etag)
  const revoke = useMutation({
    mutationFn: () => {
      const header = { 'if-match': query.data.value?.etag ?? '' }
      return answer(api.DELETE('/api/v1/tokens/{id}', { params: { path: path(), header } }))
    },
    onSuccess: changed,
  })
  const rotate = useMutation({
    mutationFn: (grace_s: number) =>
      answer(
        api.POST('/api/v1/tokens/{id}/rotate', {
          params: { path: path(), header: { 'idempotency-key': idempotencyKey() } },
          body: { grace_s },
        }),
      ),
    onSuccess: changed,
  })
  return {
    token: computed(() => query.data.value?.data ?? null),
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    edit,
    turn,
    revoke,
    rotate,
  }
}

export function useCreateToken() {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (body: NewToken) =>
      answer(api.POST('/api/v1/tokens', { params: { header: { 'idempotency-key': idempotencyKey() } }, body })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['tokens'] }),
  })
}
