// Kept conversations as a file.
import { download } from '@/api/download'
import type { components } from '@/api/schema'
import { beginningOf } from '@/kit'

export const exportFormats = ['jsonl', 'json', 'openai'] as const
export type ExportFormat = (typeof exportFormats)[number]
export type ExportRequest = components['schemas']['ConversationExport']
/** The server takes no more of a selection. */
export const selectionMax = 1_000

/** What the list's query asks for, as an export's body; `zone` is the server's. */
export function exportOf(
  format: ExportFormat,
  query: Record<string, string | undefined>,
  zone: string,
  ids?: string[],
): ExportRequest {
  if (ids) return { format, ids: ids.slice(0, selectionMax) }
  const { range, from, to } = query
  const apart = ['range', 'from', 'to', 'q']
  const asked = query.q ? { q: query.q } : {}
  const filter = Object.fromEntries(Object.entries(query).filter(([name]) => !apart.includes(name)))
  const between = range && !from ? { from: beginningOf(range, Date.now(), zone) } : { from, to }
  return { format, filter, ...asked, ...between }
}

/** Has the browser fetch the file. Throws a `Problem`. */
export async function exportConversations(body: ExportRequest): Promise<void> {
  await download(new URL('/api/v1/conversations/export', location.origin), body)
}
