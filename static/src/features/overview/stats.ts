// The statistics as the overview asks for them.
import { signedFetch } from '@/api/client'
import { Problem } from '@/api/problem'

export interface Figures {
  request_count: number
  success_count: number
  error_count: number
  success_rate: number | null
  total_prompt_tokens: number
  total_completion_tokens: number
  total_tokens: number
  p50_duration_ms: number | null
  p95_duration_ms: number | null
  p50_ttft_ms: number | null
}
export interface Overview extends Figures {
  from: string
  to: string
  is_complete?: boolean
  previous: Figures | null
}
export interface Trend {
  by: string
  from: string
  to: string
  time_zone: string
  items: {
    at: string
    request_count: number
    success_count: number
    error_count: number
    total_prompt_tokens: number
    total_completion_tokens: number
    total_tokens: number
    p50_duration_ms: number | null
    p95_duration_ms: number | null
  }[]
}
export interface Top {
  items: { key: string; name: string; request_count: number; share: number }[]
}

export async function stats<T>(name: string, query: Record<string, string | number>, signal: AbortSignal): Promise<T> {
  const address = new URL(`/api/v1/stats/${name}`, location.origin)
  for (const [key, value] of Object.entries(query)) address.searchParams.set(key, String(value))
  const response = await signedFetch(new Request(address, { signal })).catch((cause: unknown) => {
    throw cause instanceof DOMException ? cause : Problem.unreachable(cause)
  })
  if (!response.ok) throw await Problem.of(response)
  return (await response.json()) as T
}
