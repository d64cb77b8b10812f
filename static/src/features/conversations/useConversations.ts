// The list of kept calls, or the answers to a question: filters, question and range from the URL, pages by cursor.
import { useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed, ref, watch } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { answer, api, idempotencyKey } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components, paths } from '@/api/schema'
import { type FilterSpec, useCursorList, useFilters, useOutside, useTimeRange, useWalk } from '@/kit'
import { byChoice, useChoices } from '@/names'
import { useSession } from '@/session'
import type { Deletion } from './deleting'
import { useText } from './messages'

type Item = components['schemas']['ConversationItem']
type Found = components['schemas']['SearchItem']
/** A kept call; with a snippet where it answers a question. */
export type Conversation = Item & Partial<Pick<Found, 'snippet' | 'field'>>
type Query = NonNullable<paths['/api/v1/conversations']['get']['parameters']['query']>

const pageSize = 50

export function useConversations() {
  const t = useText()
  const route = useRoute()
  const router = useRouter()
  const range = useTimeRange()
  const choices = useChoices()

  const specs = computed<FilterSpec[]>(() => {
    const text = (key: 'user' | 'app' | 'model' | 'conversation_id'): FilterSpec => ({
      key,
      label: t(`filter.${key}`),
      kind: 'text',
    })
    return [
      byChoice('token_id', t('filter.token_id'), choices.tokens.value),
      text('user'),
      text('model'),
      text('app'),
      byChoice('tenant_id', t('filter.tenant_id'), choices.tenants.value),
      text('conversation_id'),
    ]
  })
  const filters = useFilters(() => specs.value)
  const query = computed<Record<string, string | undefined>>(() => ({ ...range.query.value, ...filters.values.value }))
  const question = computed(() => filters.values.value.q ?? '')
  const list = useCursorList<Conversation>({
    key: computed(() => JSON.stringify(query.value)),
    rowKey: (row) => row.id,
    newestFirst: () => question.value === '',
    fetchPage: async (cursor, signal) => {
      const { q, ...rest } = query.value
      const paged = { ...(rest as Query), limit: pageSize, ...(cursor ? { cursor } : {}) }
      return q
        ? answer(api.GET('/api/v1/conversations/search', { params: { query: { ...paged, q } }, signal }))
        : answer(api.GET('/api/v1/conversations', { params: { query: paged }, signal }))
    },
  })
  const outside = useOutside({
    key: 'conversations',
    list,
    filters,
    latest: async (signal) =>
      (await answer(api.GET('/api/v1/conversations', { params: { query: { limit: 1 } }, signal }))).items[0]
        ?.created_at ?? null,
  })

  // A sparse filter is answered in steps: empty pages with a cursor. They are followed until something is found.
  const stopped = ref(false)
  watch(list.key, () => (stopped.value = false))
  const searching = computed(() => list.count.value === 0 && list.hasMore.value && !list.problem.value)
  watch([searching, list.more, stopped], () => {
    if (searching.value && !list.more.value && !stopped.value) void list.fetchMore()
  })

  const selected = computed(() => (typeof route.params.id === 'string' && route.params.id ? route.params.id : null))
  const open = (id: string | null) =>
    router.push({ name: 'conversations', params: { id: id ?? undefined }, query: route.query })
  const walk = useWalk(
    list,
    (row) => row.id,
    () => selected.value,
    open,
  )
  return {
    specs,
    filters,
    query,
    question,
    list,
    outside,
    searching,
    stopped,
    selected,
    open,
    walk,
  }
}

/** What keeping takes and saves; nothing for who sees one tenant only. */
export function useKeeping() {
  const session = useSession()
  const query = useQuery({
    queryKey: ['conversations', 'stats'],
    staleTime: 15_000,
    retry: false,
    enabled: computed(() => session.can('read:conversations')),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/conversations/stats', { signal })),
  })
  return query.data
}

export function useConversation(id: () => string | null) {
  const queries = useQueryClient()
  const query = useQuery({
    queryKey: computed(() => ['conversations', 'one', id()]),
    enabled: computed(() => id() !== null),
    staleTime: Infinity,
    retry: false,
    queryFn: ({ signal }) => answer(api.GET('/api/v1/conversations/{id}', { params: { path: { id: id()! } }, signal })),
  })
  return {
    kept: query.data,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    async remove(): Promise<void> {
      await answer(api.DELETE('/api/v1/conversations/{id}', { params: { path: { id: id() ?? '' } } }))
      await queries.invalidateQueries({ queryKey: ['conversations', 'stats'] })
    },
  }
}

/** Asks for a deletion; the job's id. */
export async function deleteMany(asked: Deletion): Promise<string> {
  const accepted = await answer(
    api.POST('/api/v1/conversations/delete', {
      params: { header: { 'idempotency-key': idempotencyKey() } },
      body: asked,
    }),
  )
  return accepted.job.id
}
