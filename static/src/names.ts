// Names for the ids of keys, accounts and tenants, wherever pages tell of them: on chips, in tables, in charts. A list
// that may not be read leaves the ids.
import { useQuery } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, everyPage } from './api/client'
import { useSession } from './session'

export function useNames() {
  const session = useSession()
  const tokens = useQuery({
    queryKey: ['tokens', 'names'],
    staleTime: 60_000,
    enabled: computed(() => session.can('read:tokens')),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/tokens', { params: { query: { limit: 200 } }, signal })),
  })
  const accounts = useQuery({
    queryKey: ['accounts', 'names'],
    staleTime: 60_000,
    enabled: computed(() => session.can('read:accounts')),
    queryFn: ({ signal }) => everyPage((query) => answer(api.GET('/api/v1/accounts', { params: { query }, signal }))),
  })
  const tenants = useQuery({
    queryKey: ['tenants', 'names'],
    staleTime: 60_000,
    enabled: computed(() => session.can('read:tenants')),
    queryFn: ({ signal }) =>
      everyPage((query) => answer(api.GET('/api/v1/ops/tenants', { params: { query }, signal }))),
  })
  const options = (items: { id: string; name: string }[] | undefined) =>
    items?.map((item) => ({ value: item.id, label: item.name }))
  return {
    tokens: computed(() => options(tokens.data.value?.items)),
    accounts: computed(() => options(accounts.data.value?.items)),
    tenants: computed(() => options(tenants.data.value?.items)),
    nameOf: (id: string | null | undefined): string | null => {
      if (!id) return null
      const all = [tokens, accounts, tenants].flatMap(
        (list): { id: string; name: string }[] => list.data.value?.items ?? [],
      )
      return all.find((item) => item.id === id)?.name ?? null
    },
  }
}
