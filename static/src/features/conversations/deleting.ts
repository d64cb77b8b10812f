// What of a list's query a deletion takes along, and what it does not know.
import type { components } from '@/api/schema'
import { beginningOf } from '@/kit'

export type Deletion = components['schemas']['Deletion']
type Query = Record<string, string | undefined>

/** Filters of the list that a deletion has not. */
export const unknownToDeletion = ['q', 'app', 'model', 'conversation_id'] as const
export type Unknown = (typeof unknownToDeletion)[number] | 'range'

/** The conditions a deletion begins with: the list's own, its range as a time; `zone` is the server's. */
export function deletionOf(query: Query, nowMs: number, zone: string | undefined): Deletion {
  const { token_id, tenant_id, user, range } = query
  const between = query.from ? { from: query.from, to: query.to } : { from: range && beginningOf(range, nowMs, zone) }
  const asked = { token_id, tenant_id, user, ...between }
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value))
}

/** What narrows the list and will not narrow the deletion. */
export function leftBehind(query: Query, nowMs: number, zone: string | undefined): Unknown[] {
  const left: Unknown[] = unknownToDeletion.filter((name) => query[name])
  if (query.range && !query.from && !beginningOf(query.range, nowMs, zone)) left.push('range')
  return left
}
