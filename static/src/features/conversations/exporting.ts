// Kept conversations as a file.
import { download } from '@/api/download'
import type { components } from '@/api/schema'

export const exportFormats = ['jsonl', 'json', 'openai'] as const
export type ExportFormat = (typeof exportFormats)[number]
export type ExportRequest = components['schemas']['ConversationExport']
/** The server takes no more of a selection. */
export const selectionMax = 1_000

/** What the list's query asks for, as an export's body. */
export function exportOf(
  format: ExportFormat,
  query: Record<string, string | undefined>,
  ids?: string[],
): ExportRequest {
  if (ids) return { format, ids: ids.slice(0, selectionMax) }
  const { range, from, to } = query
  const apart = ['range', 'from', 'to', 'q']
  const filter = Object.fromEntries(Object.entries(query).filter(([name]) => !apart.includes(name)))
  const between = range && !from ? { from: beginningOf(range, Date.now()) } : { from, to }
  return { format, filter, ...between }
}

/** When a named range begins. */
export function beginningOf(range: string, nowMs: number): string | undefined {
  const hours: Record<string, number> = { '1h': 1, '24h': 24, '7d': 168, '30d': 720, '90d': 2_160 }
  const now = new Date(nowMs)
  if (range === 'today') return new Date(now.getFullYear(), now.getMonth(), now.getDate()).toISOString()
  if (range === 'this_month') return new Date(now.getFullYear(), now.getMonth(), 1).toISOString()
  const long = hours[range]
  return long === undefined ? undefined : new Date(nowMs - long * 3_600_000).toISOString()
}

/** Has the browser fetch the file. Throws a `Problem`. */
export async function exportConversations(body: ExportRequest): Promise<void> {
  await download(new URL('/api/v1/conversations/export', location.origin), body)
}
