// What is pushed, by topic: the data of a message as the server makes it.
import type { components } from '@/api/schema'

type Schemas = components['schemas']

/** Lines of the process's own log, oldest first. */
interface Logged {
  lines: Schemas['LogLine'][]
  dropped: number
}
export interface News {
  stats: {
    in_flight: number
    requests_per_second: number
    errors_per_second: number
    tokens_per_second: number
    today: {
      request_count: number
      success_count: number
      error_count: number
      total_prompt_tokens: number
      total_completion_tokens: number
      total_tokens: number
    } | null
  }
  requests: {
    items: Schemas['RequestItem'][]
    count: number
    sampled: { shown: number; of: number; at_least: boolean } | null
  }
  supervision: { tree: Schemas['TreeNode']; ledger: Schemas['LossLedger'] }
  jobs: Schemas['JobView']
  health: {
    accounts: { id: string; name: string; state: string }[]
    components: { id: string; name: string; status: string }[]
  }
  alerts: {
    steps: {
      alert: string
      event: string
      rule: string
      severity: string
      labels: Record<string, string>
      told: boolean
      rings: boolean
    }[]
  }
  'logs:ERROR': Logged
  'logs:WARN': Logged
  'logs:INFO': Logged
  'logs:DEBUG': Logged
  'logs:TRACE': Logged
}
export type Topic = keyof News
