// Components as they are shown: order, tone, words for certificates. Pure.
import type { components } from '@/api/schema'

export type Component = components['schemas']['ComponentView']
export type Status = components['schemas']['ComponentStatus']

export const kinds = [
  'account',
  'uplink',
  'database',
  'spool',
  'disk',
  'jwt',
  'group',
  'smtp',
  'remote_backup',
  'vector_store',
  'scheduler',
] as const
export type Kind = (typeof kinds)[number]

/** Parts of the process that have a name of their own in each language. */
const own = ['uplink', 'database', 'spool', 'disk', 'jwt'] as const
export const isOwn = (id: string): id is (typeof own)[number] => (own as readonly string[]).includes(id)

export const toneOf = (status: Status): 'ok' | 'warn' | 'bad' | 'idle' =>
  ({ healthy: 'ok', degraded: 'warn', unhealthy: 'bad', unknown: 'idle' })[status] as 'ok' | 'warn' | 'bad' | 'idle'

const weight: Record<Status, number> = { unhealthy: 0, degraded: 1, unknown: 2, healthy: 3 }

/** What needs somebody first, then by kind, then by name. */
export const sorted = (items: readonly Component[]): Component[] =>
  [...items].sort(
    (a, b) =>
      weight[a.status] - weight[b.status] ||
      kinds.indexOf(a.kind as Kind) - kinds.indexOf(b.kind as Kind) ||
      a.name.localeCompare(b.name),
  )

/** A certificate is told from a month before its end, loudly from a week before. */
export const certificateTone = (days: number): 'ok' | 'warn' | 'bad' => (days < 7 ? 'bad' : days < 30 ? 'warn' : 'ok')

/** A day's bar: 99.9 % is a day without a fault that anybody noticed. */
export const barTone = (uptime: number | null | undefined): 'ok' | 'warn' | 'bad' | 'idle' =>
  uptime == null ? 'idle' : uptime >= 0.999 ? 'ok' : uptime >= 0.95 ? 'warn' : 'bad'
