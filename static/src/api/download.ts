// Files that the browser fetches by itself, straight to its disk: this page holds nothing of them, and may be left.
import { answer, api } from './client'

/** Asks for a ticket and has the browser fetch the file. Throws a `Problem` when the file may not be had. */
export async function download(address: URL, body?: unknown): Promise<void> {
  const asked = api.POST('/api/v1/auth/download-ticket', { body: { path: address.pathname, body } })
  const { ticket } = await answer(asked)
  const link = document.createElement('a')
  link.href = withTicket(address, ticket)
  // The server says the name.
  link.download = ''
  link.click()
}

/** The address by which the file is fetched once. */
export function withTicket(address: URL, ticket: string): string {
  const signed = new URL(address)
  signed.searchParams.set('ticket', ticket)
  return signed.href
}

/** Hands the browser a text as a file. Spreadsheets take one without a byte-order mark for the machine's own encoding. */
export function saveText(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob(['\ufeff', text], { type: 'text/csv;charset=utf-8' }))
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  URL.revokeObjectURL(address)
}

/** Rows as CSV. */
export const csvOf = (rows: readonly (readonly (string | number)[])[]): string =>
  rows.map((row) => row.map((cell) => `"${String(cell).replaceAll('"', '""')}"`).join(',') + '\r\n').join('')
