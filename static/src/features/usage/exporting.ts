// The numbers as a file: what the chart shows, or what the table does.
import { download } from '@/api/download'

export const fileFormats = ['xlsx', 'csv', 'json'] as const
export type FileFormat = (typeof fileFormats)[number]

/** The address of a file. Pure but for the origin. */
export function exportAddress(query: Record<string, string | undefined>, format: FileFormat): URL {
  const address = new URL('/api/v1/stats/export', location.origin)
  for (const [name, value] of Object.entries(query)) if (value !== undefined) address.searchParams.set(name, value)
  address.searchParams.set('format', format)
  // Spreadsheets know UTF-8 by its mark.
  if (format === 'csv') address.searchParams.set('bom', 'true')
  return address
}

/** Has the browser fetch a file. Throws a `Problem`. */
export async function exportNumbers(query: Record<string, string | undefined>, format: FileFormat): Promise<void> {
  await download(exportAddress(query, format))
}
