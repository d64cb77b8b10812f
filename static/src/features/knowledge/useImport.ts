// A file of pairs: sent, asked about while a job works on it, tried, brought in, removed.
import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed, watch } from 'vue'
import { answer, api, everyPage, idempotencyKey } from '@/api/client'
import { csvOf, download, saveText } from '@/api/download'
import { Problem } from '@/api/problem'
import { type Import, type ImportRun, isBusy } from './import'

/** Sends a file; the server says how it was read. */
export async function sendFile(file: File, tenant: string, encoding: string): Promise<Import> {
  const query = {
    file_name: file.name.slice(-255),
    ...(tenant ? { tenant_id: tenant } : {}),
    ...(encoding ? { encoding } : {}),
  }
  return answer(
    api.POST('/api/v1/ops/knowledge/import', {
      params: { query },
      headers: { 'content-type': 'application/octet-stream' },
      body: file as never,
      bodySerializer: (body: unknown) => body as BodyInit,
    }),
  )
}

export function useImport(id: () => string | null, changed: () => Promise<void>) {
  const queries = useQueryClient()
  const path = () => ({ path: { id: id() ?? '' } })
  const query = useQuery({
    queryKey: computed(() => ['knowledge-import', id()]),
    enabled: computed(() => id() !== null),
    queryFn: ({ signal }) => answer(api.GET('/api/v1/ops/knowledge/import/{id}', { params: path(), signal })),
    refetchInterval: ({ state }) => (isBusy(state.data) ? 1_000 : false),
  })
  const it = computed(() => (id() === null ? null : (query.data.value ?? null)))
  const errorsOf = (query: { limit: number; cursor?: string }, signal?: AbortSignal) =>
    answer(api.GET('/api/v1/ops/knowledge/import/{id}/errors', { params: { ...path(), query }, signal }))
  const errors = useInfiniteQuery({
    queryKey: computed(() => ['knowledge-import', id(), 'errors', it.value?.job?.id, it.value?.outcome?.bad]),
    enabled: computed(() => (it.value?.outcome?.bad ?? 0) > 0),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: { next_cursor?: string | null }) => last.next_cursor ?? undefined,
    queryFn: ({ pageParam, signal }) => errorsOf({ limit: 100, ...(pageParam ? { cursor: pageParam } : {}) }, signal),
  })
  // What a job brought in is in the list.
  watch(
    () => isBusy(it.value),
    (busy, before) => {
      if (before && !busy) void changed()
    },
  )
  return {
    it,
    problem: computed(() => (query.error.value ? Problem.from(query.error.value) : null)),
    retry: () => query.refetch(),
    errors: computed(() => errors.data.value?.pages.flatMap((page) => page.items) ?? []),
    /** Fetches those after the last one; none when there are no more. */
    moreErrors: computed(() => (errors.hasNextPage.value ? () => void errors.fetchNextPage() : null)),
    /** Hands the browser all of them as a file. Throws a `Problem`. */
    async saveErrors() {
      const { items } = await everyPage((query) => errorsOf(query))
      const rows = items.map((error) => [error.row, error.field, error.reason, error.message])
      saveText('import-errors.csv', csvOf([['row', 'field', 'reason', 'message'], ...rows]))
    },
    async stop() {
      const job = it.value?.job?.id
      if (job) await answer(api.POST('/api/v1/jobs/{id}/cancel', { params: { path: { id: job } } }))
      await query.refetch()
    },
    async run(body: ImportRun) {
      await answer(
        api.POST('/api/v1/ops/knowledge/import/{id}/run', {
          params: { ...path(), header: { 'idempotency-key': idempotencyKey() } },
          body,
        }),
      )
      await queries.invalidateQueries({ queryKey: ['knowledge-import', id()] })
      // Done before anybody could see that it was under way.
      if (!isBusy(it.value)) await changed()
    },
    remove: () => answer(api.DELETE('/api/v1/ops/knowledge/import/{id}', { params: path() })),
  }
}

/** Has the browser fetch all that a filter finds as a file. Throws a `Problem`. */
export async function exportPairs(format: 'csv' | 'xlsx', query: Record<string, unknown>): Promise<void> {
  const address = new URL('/api/v1/ops/knowledge/export', location.origin)
  address.searchParams.set('format', format)
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') address.searchParams.set(name, String(value))
  }
  await download(address)
}
