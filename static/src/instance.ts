// What this Steward is: a demonstration or not, which is known before anybody signs in; and whose days it counts.
import { useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed } from 'vue'
import { answer, api } from './api/client'

export interface PublicInstance {
  demo: boolean
  demo_username?: string | null
  demo_password?: string | null
}

export function useInstance() {
  return useQuery({
    queryKey: ['instance', 'public'],
    staleTime: Infinity,
    queryFn: async ({ signal }): Promise<PublicInstance> => {
      const answer = await fetch('/api/v1/instance/public', { signal })
      return answer.ok ? ((await answer.json()) as PublicInstance) : { demo: false }
    },
  })
}

/** The zone that the server's days are days of; the browser's may be another. */
export function useTimeZone() {
  const queries = useQueryClient()
  const asked = {
    queryKey: ['instance', 'own'],
    staleTime: Infinity,
    queryFn: () => answer(api.GET('/api/v1/instance')),
  }
  const { data } = useQuery(asked)
  return {
    /** Undefined until it is known. */
    zone: computed(() => data.value?.time_zone),
    known: async () => (await queries.fetchQuery(asked)).time_zone,
  }
}
