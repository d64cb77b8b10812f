// How an account does, and what a form holds of it. Pure.
import type { components } from '@/api/schema'
import { type Preset, presets } from '@/providers'

export type Account = components['schemas']['AccountShown']
export type NewAccount = components['schemas']['NewAccount']
export type AccountChanges = components['schemas']['AccountChanges']
export type Condition =
  'ready' | 'drained' | 'draining' | 'open' | 'half_open' | 'probing' | 'badCredential' | 'unusable'

export function conditionOf(account: Account): Condition {
  if (!account.enabled) return account.in_flight > 0 ? 'draining' : 'drained'
  if (account.unusable_reason) return 'unusable'
  if (account.breaker.bad_credential) return 'badCredential'
  switch (account.breaker.state) {
    case 'open':
      return 'open'
    case 'half_open':
      return 'half_open'
    case 'probing':
      return 'probing'
    default:
      return 'ready'
  }
}
/** The account takes every model that no other one names. */
export const namesAll = (models: readonly string[]): boolean => models.length === 1 && models[0] === '*'
export const toneOf = (condition: Condition): 'ok' | 'idle' | 'bad' | 'warn' =>
  condition === 'ready'
    ? 'ok'
    : condition === 'drained' || condition === 'draining'
      ? 'idle'
      : condition === 'half_open' || condition === 'probing'
        ? 'warn'
        : 'bad'

export interface AliasRow {
  alias: string
  target: string
}
export interface AccountDraft {
  name: string
  provider: string
  protocol: 'openai' | 'anthropic'
  base_url: string
  api_key: string
  models: string[]
  aliases: AliasRow[]
  priority: number | null
  weight: number | null
  concurrency: number | null
}
/** What a preset says; nothing for a provider that is none of them. */
export const filledIn = (preset?: Preset): Pick<AccountDraft, 'provider' | 'protocol' | 'base_url'> => ({
  provider: preset?.provider ?? '',
  protocol: preset?.protocol ?? 'openai',
  base_url: preset?.baseUrl ?? '',
})
export const emptyDraft = (): AccountDraft => ({
  ...filledIn(presets[0]),
  name: '',
  api_key: '',
  models: ['*'],
  aliases: [],
  priority: 0,
  weight: 1,
  concurrency: null,
})
export const draftOf = (account: Account): AccountDraft => ({
  name: account.name,
  provider: account.provider,
  protocol: account.protocol === 'anthropic' ? 'anthropic' : 'openai',
  base_url: account.base_url,
  api_key: '',
  models: [...account.models],
  aliases: Object.entries(account.aliases ?? {}).map(([alias, target]) => ({ alias, target: String(target) })),
  priority: account.priority,
  weight: account.weight,
  concurrency: account.concurrency ?? null,
})
/** Rows with both sides; a half row is not an alias yet. */
const aliasMap = (rows: readonly AliasRow[]): Record<string, string> =>
  Object.fromEntries(
    rows
      .map((row) => [row.alias.trim(), row.target.trim()] as const)
      .filter(([alias, target]) => alias !== '' && target !== ''),
  )
export const creation = (draft: AccountDraft): NewAccount => ({
  name: draft.name.trim(),
  provider: draft.provider.trim(),
  protocol: draft.protocol,
  base_url: draft.base_url.trim(),
  api_key: draft.api_key.trim(),
  models: draft.models,
  aliases: aliasMap(draft.aliases),
  priority: draft.priority ?? 0,
  weight: draft.weight ?? 1,
  concurrency: draft.concurrency,
  enabled: null,
})
/** Only what differs; an empty key keeps the present one. */
export function changes(before: AccountDraft, after: AccountDraft): AccountChanges {
  const [was, is] = [creation(before), creation(after)]
  return Object.fromEntries(
    Object.entries(is).filter(([key, value]) =>
      key === 'api_key' ? value !== '' : JSON.stringify(value) !== JSON.stringify(was[key as keyof NewAccount]),
    ),
  )
}
