import { useQueryClient } from '@tanstack/vue-query'
import { answer, api, tagged } from '@/api/client'
import { useEdit } from '@/kit'
import type { Settings } from './draft'

export function useSettings() {
  const queries = useQueryClient()
  return useEdit<Settings, Record<string, string | null>>({
    fetch: () => tagged(api.GET('/api/v1/settings')),
    save: async (values, etag) => {
      await answer(api.PATCH('/api/v1/settings', { params: { header: { 'if-match': etag } }, body: { values } }))
      // Costs everywhere are told by some of them.
      await queries.invalidateQueries()
    },
  })
}
