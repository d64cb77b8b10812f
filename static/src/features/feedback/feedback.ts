// How feedback is told: tones of its states, names of versions, and what it is made of. Pure.
import type { components } from '@/api/schema'

export type Feedback = components['schemas']['Feedback']
export type Stats = components['schemas']['FeedbackStats']
export type Status = Feedback['status']

export const statuses = ['open', 'approved', 'rejected', 'resolved'] as const
export const tones = { open: 'warn', approved: 'ok', rejected: 'bad', resolved: 'info' } as const

/** What can be decided from here, the likeliest first. */
export type Act = 'approve' | 'reject' | 'resolve' | 'reopen'
export const actsOf = (status: Status): Act[] => {
  const all: { act: Act; to: Status }[] = [
    { act: 'resolve', to: 'resolved' },
    { act: 'reject', to: 'rejected' },
    { act: 'approve', to: 'approved' },
    { act: 'reopen', to: 'open' },
  ]
  return all.filter(({ to }) => to !== status).map(({ act }) => act)
}
export const statusAfter = { approve: 'approved', reject: 'rejected', resolve: 'resolved', reopen: 'open' } as const

/** `name v3`, as it is shown; `name@3`, as it is asked for. */
export const versionName = (prompt: { name: string; version: number }) => `${prompt.name} v${prompt.version}`
export const versionKey = (prompt: { name: string; version: number }) => `${prompt.name}@${prompt.version}`

/** How long somebody took to deal with it, in milliseconds. */
export const tookMs = (it: Pick<Feedback, 'created_at' | 'handled_at'>): number | null =>
  it.handled_at ? Math.max(0, Date.parse(it.handled_at) - Date.parse(it.created_at)) : null

/** One row of a table of parts, whatever they are parts of. */
export interface Part {
  name: string | null
  /** What the list is narrowed to by it; null: nothing can be. */
  filter: { key: string; value: string } | null
  total: number
  pending: number
  avg: number | null
  good: number | null
}

export function partsOf(stats: Stats, by: 'by_model' | 'by_app' | 'by_category' | 'by_prompt'): Part[] {
  if (by === 'by_prompt')
    return stats.by_prompt.map((part) => ({
      name: versionName(part.prompt),
      filter: { key: 'prompt', value: versionKey(part.prompt) },
      total: part.total,
      pending: part.pending,
      avg: part.avg_rating ?? null,
      good: part.good_rate ?? null,
    }))
  const key = by.slice('by_'.length)
  return stats[by].map((part) => ({
    name: part.name ?? null,
    filter: part.name ? { key, value: part.name } : null,
    total: part.total,
    pending: part.pending,
    avg: part.avg_rating ?? null,
    good: part.good_rate ?? null,
  }))
}
