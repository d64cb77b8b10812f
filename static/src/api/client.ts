// The one way to the server: typed by the OpenAPI document, signed in by the session, every failure a `Problem`.
//
//   const page = await answer(api.GET('/api/v1/tokens', { params: { query: { limit: 50 } } }))
//   const { data, etag } = await tagged(api.GET('/api/v1/tokens/{id}', …))      then  headers: { 'if-match': etag }
import createClient, { type Middleware } from 'openapi-fetch'
import { Problem } from './problem'
import type { paths } from './schema'

/** What the client needs of the session; set once by `session.ts`, so that neither imports the other's insides. */
export interface Credentials {
  /** The access token, refreshed first when it is about to expire; null when nobody is signed in. */
  bearer(): Promise<string | null>
  /** The server refused this token: get another, or null when the session is over. */
  renew(refused: string): Promise<string | null>
}
let credentials: Credentials | null = null
export function useCredentials(source: Credentials): void {
  credentials = source
}

const withBearer = (request: Request, bearer: string): Request => {
  const copy = new Request(request)
  copy.headers.set('authorization', `Bearer ${bearer}`)
  return copy
}

/** fetch with the session: on 401 the token is renewed once and the call repeated. */
export async function signedFetch(input: Request): Promise<Response> {
  const again = input.clone()
  const bearer = (await credentials?.bearer()) ?? null
  let response = await fetch(bearer ? withBearer(input, bearer) : input)
  if (response.status === 401 && bearer && credentials) {
    const renewed = await credentials.renew(bearer)
    if (renewed) response = await fetch(withBearer(again, renewed))
  }
  return response
}

const noStore: Middleware = {
  onRequest({ request }) {
    request.headers.set('accept', 'application/json')
    return request
  },
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: signedFetch })
api.use(noStore)

type Reply<T> = { data?: T; error?: unknown; response: Response }

async function settle<T>(call: Promise<Reply<T>>): Promise<{ data: T; response: Response }> {
  let reply: Reply<T>
  try {
    reply = await call
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
    throw Problem.unreachable(cause)
  }
  if (!reply.response.ok) throw await Problem.of(reply.response, reply.error)
  return { data: reply.data as T, response: reply.response }
}

/** The answer's body, or a thrown `Problem`. */
export async function answer<T>(call: Promise<Reply<T>>): Promise<T> {
  return (await settle(call)).data
}

/** The body with its ETag, for `If-Match`. */
export async function tagged<T>(call: Promise<Reply<T>>): Promise<{ data: T; etag: string }> {
  const { data, response } = await settle(call)
  return { data, etag: response.headers.get('etag') ?? '' }
}

/** The ETag of a row as a list shows it: its version. */
export const etagOf = (row: { version: number }) => `"${row.version}"`

/** All rows of a list that is not long but may be longer than a page, which holds two hundred at most. */
export async function everyPage<T>(
  page: (query: { limit: number; cursor?: string }) => Promise<{ items: T[]; next_cursor?: string | null }>,
): Promise<{ items: T[] }> {
  const items: T[] = []
  let cursor: string | null | undefined
  do {
    const found = await page({ limit: 200, ...(cursor ? { cursor } : {}) })
    items.push(...found.items)
    cursor = found.next_cursor
  } while (cursor)
  return { items }
}

/** An `Idempotency-Key` for a POST that may be repeated. */
export const idempotencyKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
