// A notice that nobody got, in words the console has, and where it would go. Pure.
import type { components } from '@/api/schema'
import type { Channel } from './channel'

export type Notice = components['schemas']['NoticeShown']

const events = ['fired', 'resolved', 'acknowledged', 'repeated', 'flapping'] as const
/** What it would have told; of one that cannot be read, and of an event the console does not know, only what sends it. */
export function tellsOf(notice: Pick<Notice, 'kind' | 'event'>): (typeof events)[number] | 'alert' | 'report' {
  if (notice.kind === 'report') return 'report'
  return events.find((one) => one === notice.event) ?? 'alert'
}

/** How it ended; a state the console does not know is one that nobody got either. */
export const stateOf = (notice: Pick<Notice, 'state'>) =>
  notice.state === 'quarantined'
    ? ({ tone: 'warn', word: 'quarantined' } as const)
    : ({ tone: 'bad', word: 'given_up' } as const)

/** Whether what is sent to that channel now only waits: it is off, or its receiver said that it is gone. */
export const isHeldBy = (channelId: string | null | undefined, channels: readonly Channel[]): boolean =>
  channels.some((one) => one.id === channelId && (!one.enabled || Boolean(one.disabled_reason)))
