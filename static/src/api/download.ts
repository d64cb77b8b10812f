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
