// What the forms hold of where backups go, and the requests they become. Pure.
import type { components } from '@/api/schema'
import { type PlaceDraft, placeDraft, placeTyped } from '@/depot/place'

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

export type PlanDraft = PlaceDraft & {
  enabled: boolean
  interval_h: number | null
  keep_last: number | null
  keep_daily: number | null
  keep_weekly: number | null
  keep_monthly: number | null
  drill: boolean
}

export function planDraft({ plan }: PlanState): PlanDraft {
  return {
    ...placeDraft(plan, 'folder'),
    enabled: plan?.enabled ?? true,
    interval_h: (plan?.interval_s ?? 86_400) / 3_600,
    keep_last: plan?.keep_last ?? 3,
    keep_daily: plan?.keep_daily ?? 7,
    keep_weekly: plan?.keep_weekly ?? 4,
    keep_monthly: plan?.keep_monthly ?? 12,
    drill: plan?.drill ?? true,
  }
}

export function planChanges(draft: PlanDraft): PlanChanges {
  const { enabled, interval_h, keep_last, keep_daily, keep_weekly, keep_monthly, drill } = draft
  return {
    ...placeTyped(draft),
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
