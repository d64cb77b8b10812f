// Jobs as a server would tell of them, for the part that asks: one in each state, which stays in it.
import { onScopeDispose } from 'vue'
import { api } from '@/api/client'
import type { components } from '@/api/schema'

type Job = components['schemas']['JobView']
const at = '2026-01-02T03:04:00Z'
const job = (state: string, rest: Partial<Job>): Job => ({
  id: `kit-${state}`,
  kind: 'kit.show',
  state,
  progress: 0,
  params: {},
  attempts: 1,
  cancel_requested: false,
  created_at: at,
  created_by: 'opr_kit',
  ...rest,
})

export const jobs = [
  job('queued', { attempts: 0 }),
  job('running', { progress: 40, started_at: at }),
  job('succeeded', { progress: 100, started_at: at, finished_at: at, result: { changed: 12 } }),
  job('failed', { progress: 70, started_at: at, finished_at: at, error: 'the file ended at line 12' }),
  job('cancelled', { progress: 55, started_at: at, finished_at: at }),
]

/** As long as the page is looked at, the client answers by itself when it is asked for one of them. */
export function playJobs() {
  const answers = new Map(jobs.map((one) => [`/api/v1/jobs/${one.id}`, one]))
  const player = {
    onRequest({ request }: { request: Request }) {
      const found = answers.get(new URL(request.url).pathname)
      return found && Response.json(found)
    },
  }
  api.use(player)
  onScopeDispose(() => api.eject(player))
}
