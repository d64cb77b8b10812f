import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { useRoute } from 'vue-router'
import { answer, api, etagOf, everyPage, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components } from '@/api/schema'
import { useEdit, useLive } from '@/kit'
import { useSession } from '@/session'

type Schemas = components['schemas']
export type Operator = Schemas['OperatorShown']
export type Role = Schemas['RoleView']
export type Key = Schemas['KeyShown']

const failed = (cause: unknown) => (cause ? Problem.from(cause) : null)
const once = () => ({ 'idempotency-key': idempotencyKey() })

/** All of them, or those of the tenant that the address names. */
export function useOperators() {
  const route = useRoute()
  const queries = useQueryClient()
  const tenantId = computed(() => (typeof route.query.tenant_id === 'string' ? route.query.tenant_id : undefined))
  const query = useQuery({
    queryKey: computed(() => ['operators', 'list', tenantId.value]),
    refetchInterval: useLive().interval,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => {
      const tenant_id = tenantId.value
      return everyPage((query) =>
        answer(api.GET('/api/v1/ops/users', { params: { query: { ...query, tenant_id } }, signal })),
      )
    },
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['operators'] })
  return {
    tenantId,
    operators: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => failed(query.error.value)),
    retry: () => query.refetch(),
    async create(body: Schemas['OperatorNew']) {
      const made = await answer(api.POST('/api/v1/ops/users', { params: { header: once() }, body }))
      await changed()
      return made
    },
    editOf: (id: () => string) =>
      useEdit<Operator, Schemas['OperatorChanges']>({
        fetch: () => tagged(api.GET('/api/v1/ops/users/{id}', { params: { path: { id: id() } } })),
        save: async (body, etag) => {
          await answer(
            api.PATCH('/api/v1/ops/users/{id}', {
              params: { path: { id: id() }, header: { 'if-match': etag } },
              body,
            }),
          )
          await changed()
        },
      }),
    async resetPassword(id: string) {
      const reset = await answer(
        api.POST('/api/v1/ops/users/{id}/password', { params: { path: { id }, header: once() }, body: {} }),
      )
      await changed()
      return reset.password ?? null
    },
    async remove({ id, version }: Pick<Operator, 'id' | 'version'>) {
      const header = { 'if-match': etagOf({ version }) }
      await answer(api.DELETE('/api/v1/ops/users/{id}', { params: { path: { id }, header } }))
      await changed()
    },
  }
}

export function useRoles() {
  const queries = useQueryClient()
  const session = useSession()
  const query = useQuery({
    queryKey: ['roles'],
    refetchInterval: useLive().interval,
    enabled: computed(() => session.can('read:roles')),
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/roles', { signal })),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['roles'] })
  return {
    roles: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => failed(query.error.value)),
    retry: () => query.refetch(),
    async create(body: Schemas['NewRole']) {
      await answer(api.POST('/api/v1/ops/roles', { params: { header: once() }, body }))
      await changed()
    },
    editOf: (id: () => string) =>
      useEdit<Role, Schemas['RoleChanges']>({
        fetch: async () => {
          const page = await answer(api.GET('/api/v1/ops/roles', {}))
          const data = page.items.find((one) => one.id === id())
          if (!data) throw new Problem(404, 'not_found', 'There is no such role', '', null)
          // A role has no address of its own to ask for one.
          return { data, etag: etagOf(data) }
        },
        save: async (body, etag) => {
          await answer(
            api.PATCH('/api/v1/ops/roles/{id}', {
              params: { path: { id: id() }, header: { 'if-match': etag } },
              body,
            }),
          )
          await changed()
        },
      }),
    async remove(role: Role) {
      await answer(
        api.DELETE('/api/v1/ops/roles/{id}', {
          params: { path: { id: role.id }, header: { 'if-match': etagOf(role) } },
        }),
      )
      await changed()
    },
  }
}

export function useKeys() {
  const queries = useQueryClient()
  const query = useQuery({
    queryKey: ['operator-keys'],
    refetchInterval: useLive().interval,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/auth/keys', { params: { query: { limit: 200 } }, signal })),
  })
  const changed = () => queries.invalidateQueries({ queryKey: ['operator-keys'] })
  return {
    keys: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => failed(query.error.value)),
    retry: () => query.refetch(),
    async create(body: Schemas['KeyNew']) {
      const made = await answer(api.POST('/api/v1/auth/keys', { params: { header: once() }, body }))
      await changed()
      return made.key
    },
    async revoke(id: string) {
      await answer(api.DELETE('/api/v1/auth/keys/{id}', { params: { path: { id } } }))
      await changed()
    },
  }
}
