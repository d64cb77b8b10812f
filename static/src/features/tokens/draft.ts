// What a form holds of a key, and the requests it becomes. Pure.
import type { Token } from './token'
import type { NewToken, TokenChanges } from './useTokens'

export type Redaction = Token['redaction']

export interface TokenDraft {
  name: string
  description: string
  app: string
  tenant_id: string
  allowed_models: string[]
  rpm: number | null
  tpm: number | null
  concurrency: number | null
  token_quota: number | null
  /** A decimal as typed, so that none of its digits is lost; empty: no budget. */
  daily_budget: string
  monthly_budget: string
  budget_currency: string
  expires_at: string | null
  enable_conversation_logging: boolean
  knowledge: boolean
  redaction: Redaction
}

export const emptyDraft = (): TokenDraft => ({
  name: '',
  description: '',
  app: '',
  tenant_id: '',
  allowed_models: [],
  rpm: null,
  tpm: null,
  concurrency: null,
  token_quota: null,
  daily_budget: '',
  monthly_budget: '',
  budget_currency: 'USD',
  expires_at: null,
  enable_conversation_logging: false,
  knowledge: false,
  redaction: 'redact',
})

export const draftOf = (token: Token): TokenDraft => ({
  name: token.name,
  description: token.description,
  app: token.app ?? '',
  tenant_id: token.tenant_id ?? '',
  allowed_models: [...(token.allowed_models ?? [])],
  rpm: token.rpm ?? null,
  tpm: token.tpm ?? null,
  concurrency: token.concurrency ?? null,
  token_quota: token.token_quota ?? null,
  daily_budget: token.daily_budget ?? '',
  monthly_budget: token.monthly_budget ?? '',
  budget_currency: token.budget_currency,
  expires_at: token.expires_at ?? null,
  enable_conversation_logging: token.enable_conversation_logging,
  knowledge: token.knowledge,
  redaction: token.redaction,
})

const orNull = (text: string): string | null => text.trim() || null

export const creation = (draft: TokenDraft): NewToken => ({
  ...draft,
  name: draft.name.trim(),
  app: orNull(draft.app),
  tenant_id: orNull(draft.tenant_id),
  daily_budget: orNull(draft.daily_budget),
  monthly_budget: orNull(draft.monthly_budget),
  budget_currency: draft.budget_currency as NewToken['budget_currency'],
  allowed_models: draft.allowed_models.length > 0 ? draft.allowed_models : null,
})

/** Only what differs from `before`, so that two people may change different things. */
export function changes(before: TokenDraft, after: TokenDraft): TokenChanges {
  const [was, is] = [creation(before), creation(after)]
  const differing = Object.entries(is).filter(
    ([key, value]) => key !== 'tenant_id' && JSON.stringify(value) !== JSON.stringify(was[key as keyof NewToken]),
  )
  return Object.fromEntries(differing)
}
