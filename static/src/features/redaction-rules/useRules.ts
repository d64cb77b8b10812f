import { useMutation, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api, etagOf, idempotencyKey, tagged } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components } from '@/api/schema'
import { useEdit, useLive } from '@/kit'
import type { NewRule, Rule, RuleChanges } from './rule'

export type Tested = components['schemas']['RedactionTested']

export function useRules() {
  const query = useQuery({
    queryKey: ['redaction-rules'],
    refetchInterval: useLive().interval,
    // There are never more than a hundred.
    queryFn: ({ signal }) => answer(api.GET('/api/v1/redaction-rules', { params: { query: { limit: 200 } }, signal })),
  })
  const queries = useQueryClient()
  const changed = () => queries.invalidateQueries({ queryKey: ['redaction-rules'] })
  const create = useMutation({
    mutationFn: (body: NewRule) =>
      answer(
        api.POST('/api/v1/redaction-rules', { params: { header: { 'idempotency-key': idempotencyKey() } }, body }),
      ),
    onSuccess: changed,
  })
  const remove = useMutation({
    mutationFn: ({ id, version }: Pick<Rule, 'id' | 'version'>) =>
      answer(
        api.DELETE('/api/v1/redaction-rules/{id}', {
          params: { path: { id }, header: { 'if-match': etagOf({ version }) } },
        }),
      ),
    onSettled: changed,
  })
  return {
    rules: computed(() => query.data.value?.items ?? []),
    loading: query.isPending,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    changed,
    create,
    remove,
  }
}

export function useRuleEdit(id: () => string, changed: () => Promise<void>) {
  const path = () => ({ id: id() })
  return useEdit<Rule, RuleChanges>({
    fetch: () => tagged(api.GET('/api/v1/redaction-rules/{id}', { params: { path: path() } })),
    save: async (changes, etag) => {
      await answer(
        api.PATCH('/api/v1/redaction-rules/{id}', {
          params: { path: path(), header: { 'if-match': etag } },
          body: changes,
        }),
      )
      await changed()
    },
  })
}

/** Tries the rules in force, or one pattern beside the built-in ones. Nothing of the text is kept. */
export function useTrial() {
  return useMutation({
    mutationFn: (asked: { text: string; pattern?: string; replacement?: string }): Promise<Tested> =>
      answer(api.POST('/api/v1/redaction-rules/test', { body: asked })),
  })
}
