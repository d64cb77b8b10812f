// The numbers as a file: what the chart shows, or what the table does.
import { signedFetch } from '@/api/client'
import { Problem } from '@/api/problem'

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

/** Fetches a file and hands it to the browser. Throws a `Problem`. */
export async function exportNumbers(
  query: Record<string, string | undefined>,
  format: FileFormat,
  name: string,
): Promise<void> {
  let file: Blob
  try {
    const response = await signedFetch(new Request(exportAddress(query, format)))
    if (!response.ok) throw await Problem.of(response)
    file = await response.blob()
  } catch (cause) {
    throw Problem.from(cause)
  }
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = `${name}.${format}`
  link.click()
  URL.revokeObjectURL(link.href)
}
