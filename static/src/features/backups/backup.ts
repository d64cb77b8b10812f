// What the forms hold of where backups go, and the requests they become. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Backup = Schemas['BackupShown']
export type PlanState = Schemas['PlanState']
export type Plan = Schemas['PlanShown']
export type PlanChanges = Schemas['PlanChanges']
export type RemoteState = Schemas['RemoteState']
export type RemoteChanges = Schemas['RemoteChanges']

const backupStates = ['running', 'complete', 'failed', 'removed'] as const
/** A word the console does not know is none that ended well. */
export const stateOf = (word: string): (typeof backupStates)[number] =>
  backupStates.find((known) => known === word) ?? 'failed'

export interface PlanDraft {
  kind: string
  path: string
  endpoint: string
  region: string
  bucket: string
  prefix: string
  access_key: string
  secret_key: string
  enabled: boolean
  interval_h: number | null
  keep_last: number | null
  keep_daily: number | null
  keep_weekly: number | null
  keep_monthly: number | null
  drill: boolean
}

/** The place is shown as a whole, so the form begins with a folder's path and without a bucket's parts. */
export function planDraft({ plan }: PlanState): PlanDraft {
  return {
    kind: plan?.kind ?? 'folder',
    path: plan?.kind === 'folder' ? plan.place : '',
    endpoint: '',
    region: '',
    bucket: '',
    prefix: '',
    access_key: '',
    secret_key: '',
    enabled: plan?.enabled ?? true,
    interval_h: (plan?.interval_s ?? 86_400) / 3_600,
    keep_last: plan?.keep_last ?? 3,
    keep_daily: plan?.keep_daily ?? 7,
    keep_weekly: plan?.keep_weekly ?? 4,
    keep_monthly: plan?.keep_monthly ?? 12,
    drill: plan?.drill ?? true,
  }
}

/** Of texts only those that were typed: the others stay as they are. */
export function planChanges(draft: PlanDraft): PlanChanges {
  const { kind, enabled, interval_h, keep_last, keep_daily, keep_weekly, keep_monthly, drill } = draft
  const named =
    kind === 'folder'
      ? (['path'] as const)
      : (['endpoint', 'region', 'bucket', 'prefix', 'access_key', 'secret_key'] as const)
  const typed = named.map((field) => [field, draft[field].trim()]).filter(([, value]) => value)
  return {
    kind,
    ...Object.fromEntries(typed),
    enabled,
    interval_s: interval_h === null ? null : Math.round(interval_h * 3_600),
    keep_last,
    keep_daily,
    keep_weekly,
    keep_monthly,
    drill,
  }
}

export interface RemoteDraft {
  kind: string
  url: string
  key: string
  table: string
  interval_min: number | null
  keep_days: number | null
  enabled: boolean
}

export const remoteDraft = ({ remote }: RemoteState): RemoteDraft => ({
  kind: remote?.kind ?? 'postgrest',
  url: '',
  key: '',
  table: remote?.table ?? 'dashboard_stats',
  interval_min: (remote?.interval_s ?? 3_600) / 60,
  keep_days: remote?.keep_days ?? 30,
  enabled: remote?.enabled ?? true,
})

/** Nothing typed leaves address and key as they are. */
export function remoteChanges(draft: RemoteDraft): RemoteChanges {
  const { kind, table, interval_min, keep_days, enabled } = draft
  return {
    kind,
    ...(draft.url.trim() ? { url: draft.url.trim() } : {}),
    ...(kind === 'postgrest' && draft.key.trim() ? { key: draft.key.trim() } : {}),
    table: table.trim(),
    interval_s: interval_min === null ? null : Math.round(interval_min * 60),
    keep_days,
    enabled,
  }
}
