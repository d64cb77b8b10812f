// What an audit entry says: its change, if it is one, and where its target is shown. Pure.
import type { components } from '@/api/schema'

export type Entry = components['schemas']['Operation']

type Details = Record<string, unknown>
export interface Told {
  change: { before: unknown; after: unknown } | null
  /** What is said beside the change. */
  rest: Details
}

/** Where changed fields are told as `[before, after]`; elsewhere two of something are two of something. */
const tellsPairs = (action: string) =>
  /\.update$|^tenants\.|^prompts\.label$|^operators\.reset_password$|^jobs\.cancel$/.test(action)

/** The two sides of a change, told field by field or as `before` and `after`, apart from all else that is told. */
export function toldBy({ action, details }: { action: string; details: Details }): Told {
  if ('before' in details && 'after' in details) {
    const { before, after, ...rest } = details
    return { change: { before, after }, rest }
  }
  const isPair = ([, value]: [string, unknown]): boolean =>
    tellsPairs(action) && Array.isArray(value) && value.length === 2
  const all = Object.entries(details)
  const pairs = all.filter(isPair) as [string, [unknown, unknown]][]
  const side = (at: 0 | 1) => Object.fromEntries(pairs.map(([field, both]) => [field, both[at]]))
  return {
    change: pairs.length > 0 ? { before: side(0), after: side(1) } : null,
    rest: Object.fromEntries(all.filter((entry) => !isPair(entry))),
  }
}

/** Records that have a place of their own. */
const places: Record<string, (id: string) => string> = {
  ...Object.fromEntries(
    Object.entries({
      token: 'tokens',
      account: 'accounts',
      job: 'jobs',
      actor: 'supervision',
      operator: 'operators',
      tenant: 'tenants',
      template: 'templates',
      qa_pair: 'knowledge',
      prompt: 'prompts',
      report: 'reports',
      conversation: 'conversations',
      feedback: 'feedback',
      jwt_test: 'jwt-tests',
      redaction_rule: 'redaction-rules',
    }).map(([type, page]) => [type, (id: string) => `/${page}/${id}`]),
  ),
  jwt_issuer: (id) => `/jwt-issuers?issuer=${id}`,
  channel: (id) => `/channels?channel=${id}`,
  alert: (id) => `/alerts?tab=history&incident=${id}`,
  alert_rule: (id) => `/alerts?tab=rules&rule=${id}`,
  silence: (id) => `/alerts?tab=silences&silence=${id}`,
}
/** Records that stand on a page among others, and where those stand that are not named one by one. */
const among: Record<string, string> = {
  alert_rule: '/alerts?tab=rules',
  role: '/operators?tab=roles',
  operator_key: '/operators?tab=keys',
  price: '/prices',
  backup: '/backups',
  backup_plan: '/backups',
  remote_backup: '/backups?tab=remote',
  settings: '/settings',
  qa_candidate: '/knowledge',
  knowledge_import: '/knowledge',
  notice: '/channels',
}
/** Where an entry's record is shown. One that was removed says so there. */
export const targetPage = (entry: Pick<Entry, 'target_type' | 'target_id'>): string | null => {
  const place = places[entry.target_type]
  return entry.target_id && place ? place(entry.target_id) : (among[entry.target_type] ?? null)
}
