// Who is signed in. The access token lives in memory only; the server's HttpOnly cookie renews it.
//
// The cookie rotates and a second use of an old one ends the session, so at most one tab renews at a time and tells
// the others the new token. What this does not do: show anything; that is the shell's business.
import { defineStore } from 'pinia'
import { computed, ref, shallowRef } from 'vue'
import type { components } from './api/schema'
import { Problem } from './api/problem'
import { useCredentials } from './api/client'
import { useHeadStart } from './head_start'
import { oneTabAtATime, permits } from './session_rules'

export type Me = components['schemas']['Me']
type Access = components['schemas']['Access']
type Told = { kind: 'token'; token: string; expiresAt: number; username?: string } | { kind: 'out' }

/** Renewed this long before it ends. */
const earlyMs = 60_000

async function post(path: string, body?: unknown, bearer?: string): Promise<Response> {
  try {
    return await fetch(`/api/v1/auth/${path}`, {
      method: 'POST',
      credentials: 'same-origin',
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
  } catch (cause) {
    throw Problem.unreachable(cause)
  }
}

export const useSession = defineStore('session', () => {
  /** `starting` until the cookie was tried; `ended` when a session ran out under an open page. */
  const state = ref<'starting' | 'in' | 'out' | 'ended'>('starting')
  const me = shallowRef<Me | null>(null)
  let token: string | null = null
  let expiresAt = 0
  let renewing: Promise<string | null> | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  /** Calls that wait until somebody has signed in again. */
  const waiting: ((token: string | null) => void)[] = []

  const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('steward.session')
  channel?.addEventListener('message', (event: MessageEvent<Told>) => {
    if (event.data.kind === 'out') left()
    // A tab of an older console does not say whose it is.
    else if (me.value && event.data.username && me.value.username !== event.data.username) replaced()
    else take(event.data.token, event.data.expiresAt)
  })

  function take(fresh: string, until: number) {
    token = fresh
    expiresAt = until
    clearTimeout(timer)
    // A renewal that fails is told to the next call, which tries again.
    timer = setTimeout(() => void renew(fresh).catch(() => null), Math.max(1_000, until - Date.now() - earlyMs))
    if (me.value && state.value === 'ended') state.value = 'in'
    for (const go of waiting.splice(0)) go(fresh)
  }
  function accept(access: Access) {
    take(access.access_token, Date.now() + access.expires_in * 1000)
    tell()
  }
  /** Tells the other tabs, once it is known whose token it is. */
  function tell() {
    const username = me.value?.username
    if (token && username) channel?.postMessage({ kind: 'token', token, expiresAt, username } satisfies Told)
  }
  /** Somebody else is signed in now: what was asked in the name on the page is not asked in theirs. */
  function replaced() {
    left()
    location.reload()
  }
  function left() {
    token = null
    clearTimeout(timer)
    me.value = null
    state.value = 'out'
    for (const go of waiting.splice(0)) go(null)
  }

  /** Another token than `refused`: one that another tab got meanwhile, or one from the cookie. */
  function renew(refused: string | null): Promise<string | null> {
    if (token && token !== refused) return Promise.resolve(token)
    renewing ??= oneTabAtATime('steward.renew', async () => {
      if (token && token !== refused) return token
      const answer = await post('refresh')
      if (answer.ok) {
        accept((await answer.json()) as Access)
        return token
      }
      if (answer.status === 401 || answer.status === 403) {
        token = null
        return null
      }
      throw await Problem.of(answer)
    }).finally(() => (renewing = null))
    return renewing
  }

  async function learnWhoIAm(bearer: string | null): Promise<void> {
    const answer = await fetch('/api/v1/auth/me', { headers: { authorization: `Bearer ${bearer}` } })
    if (!answer.ok) throw await Problem.of(answer)
    me.value = (await answer.json()) as Me
  }

  /** At the start: is there a session in the cookie? */
  async function resume(): Promise<void> {
    const early = await useHeadStart()
    if (early?.access) {
      accept(early.access)
      if (early.me) me.value = early.me
    }
    if (early ? !early.access : !(await renew(null))) {
      state.value = 'out'
      return
    }
    if (!me.value) await learnWhoIAm(token)
    tell()
    state.value = 'in'
  }
  async function signIn(username: string, password: string): Promise<void> {
    const answer = await post('login', { username, password })
    if (!answer.ok) throw await Problem.of(answer)
    const access = (await answer.json()) as Access
    // Who it is comes first: calls that waited must not go out under another name than the page shows.
    const before = me.value?.username
    await learnWhoIAm(access.access_token)
    if (before && before !== me.value?.username) {
      token = access.access_token
      expiresAt = Date.now() + access.expires_in * 1000
      tell()
      return replaced()
    }
    accept(access)
    state.value = 'in'
  }
  async function signOut(): Promise<void> {
    const answer = await post('logout', undefined, token ?? undefined)
    // 401: there was nothing left to end. Anything else would leave the cookie good while the page says otherwise.
    if (!answer.ok && answer.status !== 401) throw await Problem.of(answer)
    channel?.postMessage({ kind: 'out' } satisfies Told)
    left()
  }
  async function changePassword(current: string, fresh: string): Promise<void> {
    const bearer = await usable()
    const answer = await post('password', { current_password: current, new_password: fresh }, bearer ?? undefined)
    if (!answer.ok) throw await Problem.of(answer)
    await renew(bearer).catch(() => null)
    if (token) await learnWhoIAm(token)
    else ended()
  }
  function ended() {
    if (state.value === 'in') state.value = 'ended'
  }

  async function usable(): Promise<string | null> {
    if (state.value === 'out') return null
    if (token && Date.now() < expiresAt - 5_000) return token
    return (await renew(token)) ?? askAgain()
  }
  /** The session is over: the page stays, a dialog asks, and the call goes on when it was answered. */
  function askAgain(): Promise<string | null> {
    if (state.value === 'starting' || state.value === 'out') return Promise.resolve(null)
    ended()
    return new Promise((go) => waiting.push(go))
  }
  useCredentials({ bearer: usable, renew: async (refused) => (await renew(refused)) ?? askAgain() })

  const permissions = computed(() => me.value?.permissions ?? [])
  const can = (permission: string): boolean => permits(permissions.value, permission)
  return { state, me, can, resume, signIn, signOut, changePassword }
})
