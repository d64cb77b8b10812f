// Names for the ids of keys, accounts and tenants, wherever pages tell of them: on chips, in tables, in charts. A list
// that may not be read leaves the ids. Accounts are few and known by heart; keys and tenants may be many, and are searched for.
import { useQuery } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, everyPage } from './api/client'
import type { Choices, FilterSpec } from './kit'
import { useSession } from './session'

type Noun = 'accounts' | 'tenants'

/** Of the nouns that a page needs whole. */
export function useNames(nouns: readonly Noun[]) {
  const session = useSession()
  const wanted = (noun: Noun) => computed(() => nouns.includes(noun) && session.can(`read:${noun}`))
  const accounts = useQuery({
    queryKey: ['accounts', 'names'],
    staleTime: 60_000,
    enabled: wanted('accounts'),
    queryFn: ({ signal }) => everyPage((query) => answer(api.GET('/api/v1/accounts', { params: { query }, signal }))),
  })
  const tenants = useQuery({
    queryKey: ['tenants', 'names'],
    staleTime: 60_000,
    enabled: wanted('tenants'),
    queryFn: ({ signal }) =>
      everyPage((query) => answer(api.GET('/api/v1/ops/tenants', { params: { query }, signal }))),
  })
  const options = (items: { id: string; name: string }[] | undefined) =>
    items?.map((item) => ({ value: item.id, label: item.name }))
  return {
    accounts: computed(() => options(accounts.data.value?.items)),
    tenants: computed(() => options(tenants.data.value?.items)),
    /** What the accounts named are besides: who is called, and for what. */
    upstreams: computed(() => accounts.data.value?.items ?? []),
    nameOf: (id: string | null | undefined): string | null => {
      if (!id) return null
      const all = [accounts, tenants].flatMap((list): { id: string; name: string }[] => list.data.value?.items ?? [])
      return all.find((item) => item.id === id)?.name ?? null
    },
  }
}

/** Who did something, by name where the names may be read and somebody still has it; else the id. */
export function useWho() {
  const session = useSession()
  const people = useQuery({
    queryKey: ['operators', 'names'],
    staleTime: 60_000,
    enabled: computed(() => session.can('read:operators')),
    queryFn: ({ signal }) => everyPage((query) => answer(api.GET('/api/v1/ops/users', { params: { query }, signal }))),
  })
  const names = computed(() => new Map((people.data.value?.items ?? []).map((one) => [one.id, one.username])))
  return (id: string): string => names.value.get(id) ?? id
}

interface Found {
  items: { id: string; name: string }[]
  next_cursor?: string | null
}
interface Search {
  q?: string
  cursor?: string
  limit: number
}
function choicesOf(
  key: string,
  page: (query: Search, signal: AbortSignal) => Promise<Found>,
  one: (id: string, signal: AbortSignal) => Promise<{ name: string }>,
): Choices {
  return {
    key,
    async find(text, cursor, signal) {
      const found = await page({ limit: 20, ...(text ? { q: text } : {}), ...(cursor ? { cursor } : {}) }, signal)
      return {
        items: found.items.map(({ id, name }) => ({ value: id, label: name })),
        next: found.next_cursor ?? null,
      }
    },
    nameOf: async (id, signal) => (await one(id, signal)).name,
  }
}
const keys = choicesOf(
  'tokens',
  (query, signal) => answer(api.GET('/api/v1/tokens', { params: { query }, signal })),
  (id, signal) => answer(api.GET('/api/v1/tokens/{id}', { params: { path: { id } }, signal })),
)
const owners = choicesOf(
  'tenants',
  (query, signal) => answer(api.GET('/api/v1/ops/tenants', { params: { query }, signal })),
  (id, signal) => answer(api.GET('/api/v1/ops/tenants/{id}', { params: { path: { id } }, signal })),
)

/** Keys and tenants to choose from, for who may read them. */
export function useChoices() {
  const session = useSession()
  return {
    tokens: computed(() => (session.can('read:tokens') ? keys : undefined)),
    tenants: computed(() => (session.can('read:tenants') ? owners : undefined)),
  }
}

/** A filter by one of them; by its id for who may not read them. */
export const byChoice = (key: string, label: string, choices: Choices | undefined): FilterSpec => ({
  key,
  label,
  kind: choices ? 'choice' : 'text',
  choices,
})
