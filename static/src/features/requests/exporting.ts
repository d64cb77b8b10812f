// The calls that pass the filters as a file.
import { download } from '@/api/download'

export const exportFormats = ['csv', 'jsonl', 'json', 'parquet'] as const
export type ExportFormat = (typeof exportFormats)[number]

/** Has the browser fetch the file. Throws a `Problem`. */
export async function exportCalls(format: ExportFormat, query: Record<string, unknown>): Promise<void> {
  const address = new URL('/api/v1/logs/requests/export', location.origin)
  for (const [name, value] of Object.entries(query)) {
    if (name !== 'sort' && value !== undefined && value !== null) address.searchParams.set(name, String(value))
  }
  address.searchParams.set('format', format)
  // Spreadsheets know UTF-8 by its mark.
  if (format === 'csv') address.searchParams.set('bom', 'true')
  await download(address)
}
