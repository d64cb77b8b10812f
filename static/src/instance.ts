// What this Steward is: version, demo or not. Known before anybody signs in.
import { useQuery } from '@tanstack/vue-query'

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
