import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components } from '@/api/schema'
import { useCursorList, useEdit, useFilters } from '@/kit'
import { onAnyNews } from '@/live/push'
import type { Prompt, Version } from './prompt'

export type NewPrompt = components['schemas']['NewPrompt']
export type NewVersion = components['schemas']['NewVersion']

const problemOf = (cause: unknown) => (cause ? Problem.from(cause) : null)

export function usePrompts() {
  const filters = useFilters(() => [])
  const list = useCursorList<Prompt>({
    key: computed(() => JSON.stringify(filters.values.value)),
    rowKey: (prompt) => prompt.id,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/prompts', {
          params: { query: { ...filters.values.value, limit: 100, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  const create = useMutation({
    mutationFn: (body: NewPrompt) =>
      answer(api.POST('/api/v1/prompts', { params: { header: { 'idempotency-key': idempotencyKey() } }, body })),
  })
  return { filters, list, create }
}

/** One prompt and what can be done to it. Everything that changes it shows it anew. */
export function usePrompt(id: () => string) {
  const queries = useQueryClient()
  const path = () => ({ id: id() })
  const key = computed(() => ['prompts', 'one', id()])
  const fetch = (of: string, signal?: AbortSignal) =>
    tagged(api.GET('/api/v1/prompts/{id}', { params: { path: { id: of } }, signal }))
  const query = useQuery({ queryKey: key, queryFn: ({ signal }) => fetch(id(), signal) })
  const prompt = computed(() => query.data.value?.data ?? null)
  const etag = () => query.data.value?.etag ?? ''
  const changed = () => queries.invalidateQueries({ queryKey: ['prompts'] })

  const history = useCursorList<Version>({
    key: computed(() => `${id()} ${prompt.value?.version ?? ''}`),
    rowKey: (version) => String(version.number),
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/prompts/{id}/versions', {
          params: { path: path(), query: { limit: 50, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  const versions = computed(() =>
    Array.from({ length: history.count.value }, (_, index) => history.at(index)).filter((one) => one !== undefined),
  )

  const edit = useEdit<Prompt, NewVersion>({
    fetch: () => fetch(id()),
    save: async (body, etag) => {
      await answer(api.PUT('/api/v1/prompts/{id}', { params: { path: path(), header: { 'if-match': etag } }, body }))
      await changed()
    },
  })
  // Whoever undoes one of these names the prompt: another one may be shown by then.
  const rollback = useMutation({
    mutationFn: ({ of, ...body }: components['schemas']['Rollback'] & { of: string }) =>
      answer(
        api.POST('/api/v1/prompts/{id}/rollback', {
          params: { path: { id: of }, header: { 'idempotency-key': idempotencyKey() } },
          body,
        }),
      ),
    onSuccess: changed,
  })
  const label = useMutation({
    mutationFn: async ({ of, name, version }: { of?: string; name: string; version: number | null }) => {
      const [it, seen] = of ? [of, (await fetch(of)).etag] : [id(), etag()]
      const params = { path: { id: it, label: name }, header: { 'if-match': seen } }
      return version === null
        ? answer(api.DELETE('/api/v1/prompts/{id}/labels/{label}', { params })).then(() => undefined)
        : answer(api.PUT('/api/v1/prompts/{id}/labels/{label}', { params, body: { version } })).then(() => undefined)
    },
    // Refused or not: what stands now is shown.
    onSettled: changed,
  })
  const remove = useMutation({
    mutationFn: () =>
      answer(api.DELETE('/api/v1/prompts/{id}', { params: { path: path(), header: { 'if-match': etag() } } })),
  })
  return {
    prompt,
    loading: query.isPending,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
    history,
    versions,
    edit,
    rollback,
    label,
    remove,
  }
}

export function useVersion(id: () => string, number: () => number | null, known: () => readonly Version[]) {
  const query = useQuery({
    queryKey: computed(() => ['prompts', 'version', id(), number()]),
    // A version never changes, but for the labels that point at it; those the history tells.
    staleTime: Infinity,
    enabled: computed(() => number() !== null && !known().some((one) => one.number === number())),
    queryFn: ({ signal }) =>
      answer(
        api.GET('/api/v1/prompts/{id}/versions/{number}', {
          params: { path: { id: id(), number: number()! } },
          signal,
        }),
      ),
  })
  return {
    version: computed(() => known().find((one) => one.number === number()) ?? query.data.value ?? null),
    problem: computed(() => problemOf(query.error.value)),
  }
}

/** What calls came to that named a version, by number; null to those who may not see it. */
export function useUse(id: () => string, maySee: () => boolean) {
  const query = useQuery({
    // Apart from `prompts`: no edit changes it, and none waits for it.
    queryKey: computed(() => ['prompt-use', id()]),
    enabled: computed(maySee),
    // An operator of one tenant is refused: versions are not told apart by tenant.
    retry: (count, cause) => Problem.from(cause).status !== 403 && count < 2,
    queryFn: ({ signal }) =>
      answer(
        api.GET('/api/v1/stats/prompts/{id}', { params: { path: { id: id() }, query: { range: '30d' } }, signal }),
      ),
  })
  onAnyNews(
    'requests',
    5_000,
    () => void query.refetch(),
    () => maySee() && query.error.value === null,
  )
  return {
    use: computed(() =>
      query.data.value ? new Map(query.data.value.versions.map((one) => [one.version, one] as const)) : null,
    ),
    problem: computed(() => {
      const problem = problemOf(query.error.value)
      return problem?.status === 403 ? null : problem
    }),
    retry: () => query.refetch(),
  }
}

export function useDiff(id: () => string, pair: () => { a: number; b: number } | null) {
  const query = useQuery({
    queryKey: computed(() => ['prompts', 'diff', id(), pair()]),
    enabled: computed(() => pair() !== null),
    staleTime: Infinity,
    queryFn: ({ signal }) =>
      answer(
        api.GET('/api/v1/prompts/{id}/versions/{a}/diff/{b}', {
          params: { path: { id: id(), ...pair()! } },
          signal,
        }),
      ),
  })
  return {
    diff: query.data,
    loading: query.isPending,
    problem: computed(() => problemOf(query.error.value)),
    retry: () => query.refetch(),
  }
}

export function useFill(id: () => string, number: () => number) {
  return useMutation({
    mutationFn: (variables: Record<string, string>) =>
      answer(
        api.POST('/api/v1/prompts/{id}/versions/{number}/fill', {
          params: { path: { id: id(), number: number() }, header: { 'idempotency-key': idempotencyKey() } },
          body: { variables: variables as Record<string, never> },
        }),
      ),
  })
}
