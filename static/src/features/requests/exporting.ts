// The calls that pass the filters as a file. The browser keeps what arrives on disk, not this page; leaving the page ends it.
import { signedFetch } from '@/api/client'
import { Problem } from '@/api/problem'

export const exportFormats = ['csv', 'jsonl', 'json', 'parquet'] as const
export type ExportFormat = (typeof exportFormats)[number]

/** Fetches the file and hands it to the browser. Throws a `Problem`. */
export async function exportCalls(format: ExportFormat, query: Record<string, unknown>): Promise<void> {
  const address = new URL('/api/v1/logs/requests/export', location.origin)
  for (const [name, value] of Object.entries(query)) {
    if (name !== 'sort' && value !== undefined && value !== null) address.searchParams.set(name, String(value))
  }
  address.searchParams.set('format', format)
  // Spreadsheets know UTF-8 by its mark.
  if (format === 'csv') address.searchParams.set('bom', 'true')
  let file: Blob
  try {
    const response = await signedFetch(new Request(address))
    if (!response.ok) throw await Problem.of(response)
    file = await response.blob()
  } catch (cause) {
    throw Problem.from(cause)
  }
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = `requests.${format}`
  link.click()
  URL.revokeObjectURL(link.href)
}
