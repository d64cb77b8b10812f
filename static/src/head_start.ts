// Whether there is a session, and whose: asked while the rest of the console is still on its way, for over a slow line
// these two answers take as long as a third of the code. What this does not do: keep or show anything.
import type { components } from './api/schema'
import { oneTabAtATime } from './session_rules'

type Access = components['schemas']['Access']
type Me = components['schemas']['Me']
/** `access` is null when there is no session; `me` when only that could not be learnt. */
export interface HeadStart {
  access: Access | null
  me: Me | null
}
let asked: Promise<HeadStart | null> | null = null

async function ask(): Promise<HeadStart | null> {
  const renewed = await oneTabAtATime('steward.renew', () =>
    fetch('/api/v1/auth/refresh', {
      method: 'POST',
      credentials: 'same-origin',
      headers: { accept: 'application/json' },
    }),
  )
  if (renewed.status === 401 || renewed.status === 403) return { access: null, me: null }
  if (!renewed.ok) return null
  const access = (await renewed.json()) as Access
  const told = await fetch('/api/v1/auth/me', { headers: { authorization: `Bearer ${access.access_token}` } }).catch(
    () => null,
  )
  return { access, me: told?.ok ? ((await told.json()) as Me) : null }
}

export function takeHeadStart(): void {
  asked = ask().catch(() => null)
}
/** What came of it, for the first who asks; null: nothing, and whoever wants to know asks the server. */
export function useHeadStart(): Promise<HeadStart | null> | null {
  const answer = asked
  asked = null
  return answer
}
