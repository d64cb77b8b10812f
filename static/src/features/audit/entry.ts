// What an audit entry says: its change, if it is one, and where its target is shown. Pure.
import type { components } from '@/api/schema'

export type Entry = components['schemas']['Operation']

/** The two sides of a change: the server writes every changed field as `[before, after]`. */
export function changeOf(details: Record<string, unknown>): { before: unknown; after: unknown } | null {
  const changed = Object.entries(details).filter(
    (entry): entry is [string, [unknown, unknown]] => Array.isArray(entry[1]) && entry[1].length === 2,
  )
  if (changed.length === 0) return null
  return {
    before: Object.fromEntries(changed.map(([field, [before]]) => [field, before])),
    after: Object.fromEntries(changed.map(([field, [, after]]) => [field, after])),
  }
}

const pages: Record<string, string> = {
  token: '/tokens',
  account: '/accounts',
  job: '/jobs',
  actor: '/supervision',
}
export const targetPage = (entry: Pick<Entry, 'target_type' | 'target_id'>): string | null => {
  const page = pages[entry.target_type]
  return page && entry.target_id ? `${page}/${entry.target_id}` : null
}
