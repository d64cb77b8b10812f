// What is known of a key without asking: its state. Pure.
import type { components } from '@/api/schema'

export type Token = components['schemas']['TokenView']
export type TokenState = 'active' | 'disabled' | 'expired' | 'revoked'

export function stateOf(token: Pick<Token, 'enabled' | 'expires_at' | 'revoked_at'>, nowMs: number): TokenState {
  if (token.revoked_at) return 'revoked'
  if (token.expires_at && Date.parse(token.expires_at) <= nowMs) return 'expired'
  return token.enabled ? 'active' : 'disabled'
}
