// Several calls and several tabs share one session: the cookie may be used once only.
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { signedFetch } from './api/client'
import { takeHeadStart } from './head_start'
import { useSession } from './session'
import { oneTabAtATime, permits } from './session_rules'

const json = (status: number, body: unknown) =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } })

/** A server whose cookie gives a new token each time; only the newest token is good. */
function server() {
  const state = { refreshed: 0, signedIn: true, username: 'admin', logout: 204, calls: [] as (string | null)[] }
  const good = () => `token-${state.refreshed}`
  vi.stubGlobal('fetch', async (input: Request | string, init?: RequestInit) => {
    const request = new Request(input instanceof Request ? input : new URL(input, location.origin), init)
    const bearer = request.headers.get('authorization')?.replace('Bearer ', '') ?? null
    const { pathname } = new URL(request.url)
    if (pathname.endsWith('/auth/refresh')) {
      if (!state.signedIn) return json(401, { code: 'session_expired' })
      state.refreshed += 1
      return json(200, { access_token: good(), expires_in: 900 })
    }
    if (pathname.endsWith('/auth/login')) {
      const { username, password } = (await request.json()) as { username: string; password: string }
      if (password !== 'right')
        return json(401, { code: 'wrong_credentials', title: 'No', detail: 'Wrong', errors: [] })
      Object.assign(state, { signedIn: true, username })
      state.refreshed += 1
      return json(200, { access_token: good(), expires_in: 900 })
    }
    if (pathname.endsWith('/auth/logout')) {
      if (state.logout === 0) throw new TypeError('Failed to fetch')
      return new Response(null, { status: state.logout })
    }
    if (pathname.endsWith('/auth/me')) {
      const { username } = state
      return bearer === good() ? json(200, { username, permissions: ['*'] }) : json(401, { code: 'token_expired' })
    }
    state.calls.push(bearer)
    return bearer === good() ? json(200, { ok: true }) : json(401, { code: 'token_expired' })
  })
  return state
}
const call = () => signedFetch(new Request(new URL('/api/v1/tokens', location.origin)))
const settled = () => vi.advanceTimersByTimeAsync(500)

beforeEach(() => {
  vi.useFakeTimers()
  localStorage.clear()
  setActivePinia(createPinia())
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

async function signedIn() {
  const at = server()
  const session = useSession()
  const done = session.resume()
  await settled()
  await done
  expect(session.state).toBe('in')
  return { at, session }
}

/** What the tabs of one browser tell each other, without delay. */
function tabs() {
  const open = new Set<EventTarget>()
  class Channel extends EventTarget {
    constructor() {
      super()
      open.add(this)
    }
    postMessage(data: unknown) {
      for (const other of open) if (other !== this) other.dispatchEvent(new MessageEvent('message', { data }))
    }
  }
  vi.stubGlobal('BroadcastChannel', Channel)
}
/** Another tab: a store of its own beside the one there is. `call` goes out from the tab that was opened last. */
async function tab() {
  setActivePinia(createPinia())
  const session = useSession()
  const done = session.resume()
  await settled()
  await done
  return session
}

describe('tabs of one browser', () => {
  it('renew once for all of them', async () => {
    tabs()
    const at = server()
    const sessions = [await tab(), await tab(), await tab()]
    expect(at.refreshed).toBe(3)
    await vi.advanceTimersByTimeAsync(860_000)
    // Each opened tab had to ask; from then on one asks and tells.
    expect(at.refreshed).toBe(4)
    const answered = call()
    await settled()
    expect((await answered).status).toBe(200)
    expect(sessions.map((session) => session.state)).toEqual(['in', 'in', 'in'])
  })

  it('are signed out together', async () => {
    tabs()
    server()
    const [one, two] = [await tab(), await tab()]
    await one.signOut()
    expect([one.state, two.state]).toEqual(['out', 'out'])
    expect(two.me).toBeNull()
  })

  it('go on together: a call that waits in one is sent when somebody signs in again in another', async () => {
    tabs()
    const at = server()
    const [one, two] = [await tab(), await tab()]
    at.signedIn = false
    at.refreshed += 1
    let answered = 0
    void call().then((answer) => (answered = answer.status))
    await settled()
    expect([two.state, answered]).toEqual(['ended', 0])
    const again = one.signIn('admin', 'right')
    await settled()
    await again
    expect([one.state, two.state, answered]).toEqual(['in', 'in', 200])
  })
})

describe('somebody else', () => {
  const reload = () => vi.spyOn(location, 'reload').mockImplementation(() => undefined)

  it('who signs in in another tab does not send what waits in this one, and takes the page over anew', async () => {
    tabs()
    const at = server()
    const waits = await tab()
    const reloaded = reload()
    at.signedIn = false
    at.refreshed += 1
    let answered = 0
    void call().then((answer) => (answered = answer.status))
    await settled()
    const other = await tab()
    expect([waits.state, other.state, answered]).toEqual(['ended', 'out', 0])
    const done = other.signIn('grace', 'right')
    await settled()
    await done
    expect([other.state, other.me?.username, waits.state, waits.me]).toEqual(['in', 'grace', 'out', null])
    expect(reloaded).toHaveBeenCalledOnce()
    expect(answered).toBe(401)
  })

  it('who signs in where a session ended sends nothing in the name of the one before', async () => {
    const { at, session } = await signedIn()
    const reloaded = reload()
    at.signedIn = false
    at.refreshed += 1
    let answered = 0
    void call().then((answer) => (answered = answer.status))
    await settled()
    const again = session.signIn('grace', 'right')
    await settled()
    await again
    await settled()
    expect(reloaded).toHaveBeenCalledOnce()
    expect(answered).toBe(401)
  })
})

describe('signing out', () => {
  it.each([0, 500, 503])('that fails (%i) is told, and leaves one signed in', async (status) => {
    const { at, session } = await signedIn()
    at.logout = status
    await expect(session.signOut()).rejects.toMatchObject({ status })
    expect(session.state).toBe('in')
  })

  it('of a session that is over already is done', async () => {
    const { at, session } = await signedIn()
    at.logout = 401
    await session.signOut()
    expect(session.state).toBe('out')
  })
})

describe('a session', () => {
  it('is resumed from the cookie, or is none', async () => {
    await signedIn()
    setActivePinia(createPinia())
    const at = server()
    at.signedIn = false
    const session = useSession()
    const done = session.resume()
    await settled()
    await done
    expect(session.state).toBe('out')
  })

  it('asked for ahead is not asked for twice: the cookie is good once', async () => {
    const at = server()
    takeHeadStart()
    await settled()
    expect(at.refreshed).toBe(1)
    const session = useSession()
    const done = session.resume()
    await settled()
    await done
    expect(session.state).toBe('in')
    expect(session.me?.username).toBe('admin')
    expect(at.refreshed).toBe(1)
    const answer = call()
    await settled()
    expect((await answer).status).toBe(200)
  })

  it('that a head start found to be none is none; a head start that failed decides nothing', async () => {
    const at = server()
    at.signedIn = false
    takeHeadStart()
    const session = useSession()
    const done = session.resume()
    await settled()
    await done
    expect(session.state).toBe('out')

    setActivePinia(createPinia())
    at.signedIn = true
    const answering = globalThis.fetch
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')))
    takeHeadStart()
    await settled()
    vi.stubGlobal('fetch', answering)
    const again = useSession()
    const resumed = again.resume()
    await settled()
    await resumed
    expect(again.state).toBe('in')
  })

  it('is renewed once for many refused calls', async () => {
    const { at } = await signedIn()
    at.refreshed += 1 // the token in hand is no longer good
    const before = at.refreshed
    const all = Promise.all([call(), call(), call(), call()])
    await settled()
    expect((await all).map((answer) => answer.status)).toEqual([200, 200, 200, 200])
    expect(at.refreshed).toBe(before + 1)
  })

  it('is renewed before it ends, without a call', async () => {
    const { at } = await signedIn()
    await vi.advanceTimersByTimeAsync(830_000)
    expect(at.refreshed).toBe(1)
    await vi.advanceTimersByTimeAsync(20_000)
    expect(at.refreshed).toBe(2)
  })

  it('that cannot be renewed ahead, since the server is out of reach, is renewed by the next call', async () => {
    const { at } = await signedIn()
    const answering = globalThis.fetch
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')))
    // Vitest fails for a rejection that nobody hears.
    await vi.advanceTimersByTimeAsync(850_000)
    vi.stubGlobal('fetch', answering)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(at.refreshed).toBe(1)
    const answer = call()
    await settled()
    expect([(await answer).status, at.refreshed]).toEqual([200, 2])
  })

  it('that ran out keeps calls waiting until somebody signs in again, and loses none', async () => {
    const { at, session } = await signedIn()
    at.signedIn = false
    at.refreshed += 1
    let answered = 0
    const waiting = call().then((answer) => (answered = answer.status))
    await settled()
    expect(session.state).toBe('ended')
    expect(session.me?.username).toBe('admin')
    expect(answered).toBe(0)
    const refused = session.signIn('admin', 'wrong').catch((cause: { code: string }) => cause.code)
    await settled()
    expect(await refused).toBe('wrong_credentials')
    expect(session.state).toBe('ended')
    const again = session.signIn('admin', 'right')
    await settled()
    await again
    await waiting
    expect(answered).toBe(200)
    expect(session.state).toBe('in')
  })
})

describe('two tabs', () => {
  beforeEach(() => vi.stubGlobal('navigator', {})) // no locks: plain http in a LAN

  it('take turns by a lease', async () => {
    const order: string[] = []
    const tab = (name: string) =>
      oneTabAtATime('renew', async () => {
        order.push(`${name} in`)
        await new Promise((done) => setTimeout(done, 300))
        order.push(`${name} out`)
      })
    const both = Promise.all([tab('a'), tab('b')])
    await vi.advanceTimersByTimeAsync(2_000)
    await both
    expect(order).toHaveLength(4)
    expect(order[0]!.slice(0, 1)).toBe(order[1]!.slice(0, 1))
    expect(order[2]!.slice(0, 1)).toBe(order[3]!.slice(0, 1))
    expect(localStorage.getItem('renew')).toBeNull()
  })

  it('a lease left behind by a tab that died ends by itself', async () => {
    localStorage.setItem('renew', `dead ${Date.now() + 8_000}`)
    let ran = false
    const done = oneTabAtATime('renew', async () => void (ran = true))
    await vi.advanceTimersByTimeAsync(7_500)
    expect(ran).toBe(false)
    await vi.advanceTimersByTimeAsync(1_000)
    await done
    expect(ran).toBe(true)
  })

  it('a lease is given back when the work fails', async () => {
    const failed = oneTabAtATime('renew', () => Promise.reject(new Error('no'))).catch(() => 'failed')
    await vi.advanceTimersByTimeAsync(100)
    expect(await failed).toBe('failed')
    expect(localStorage.getItem('renew')).toBeNull()
  })
})

describe('permissions', () => {
  it('follow patterns, and a refusal wins', () => {
    expect(permits(['*'], 'write:tokens')).toBe(true)
    expect(permits(['read:*'], 'read:tokens')).toBe(true)
    expect(permits(['read:*'], 'write:tokens')).toBe(false)
    expect(permits(['read:*', '!read:conversations'], 'read:conversations')).toBe(false)
    expect(permits([], 'read:tokens')).toBe(false)
  })
})
