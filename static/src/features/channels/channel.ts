// What a form holds of a channel, and the requests it becomes. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Channel = Schemas['ChannelShown']
export type NewChannel = Schemas['NewChannel']
export type ChannelChanges = Schemas['ChannelChanges']

export const kinds = ['webhook', 'slack', 'feishu', 'dingtalk', 'wecom', 'pagerduty', 'alertmanager', 'email'] as const
export type Kind = (typeof kinds)[number]
const outcomes = ['later', 'delivered', 'rejected', 'gone'] as const
/** What became of an attempt; a word the console does not know is none that ended well. */
export const outcomeOf = (word: string): (typeof outcomes)[number] => outcomes.find((one) => one === word) ?? 'later'

export interface ChannelDraft {
  name: string
  kind: string
  url: string
  to: string[]
  secret: string
  takes_all: boolean
  enabled: boolean
}

export const emptyDraft = (): ChannelDraft => ({
  name: '',
  kind: 'webhook',
  url: '',
  to: [],
  secret: '',
  takes_all: true,
  enabled: true,
})

/** The address and the secret are not shown, so the form begins without them. */
export const draftOf = (channel: Channel): ChannelDraft => ({
  ...emptyDraft(),
  name: channel.name,
  kind: channel.kind,
  to: channel.to,
  takes_all: channel.takes_all,
  enabled: channel.enabled,
})

/** Robots that sign, and PagerDuty's key; a webhook's secret is made by the server. */
export const takesSecret = (kind: string): boolean => ['feishu', 'dingtalk', 'pagerduty'].includes(kind)

export function creation(draft: ChannelDraft): NewChannel {
  const { name, kind, url, to, secret, takes_all, enabled } = draft
  const mail = kind === 'email'
  return {
    name: name.trim(),
    kind,
    ...(mail ? { to } : { url: url.trim(), to: [] }),
    ...(takesSecret(kind) && secret.trim() ? { secret: secret.trim() } : {}),
    takes_all,
    enabled,
  }
}

/** Only what differs, so that two people may change different things; nothing typed leaves address and secret. */
export function changes(before: ChannelDraft, after: ChannelDraft): ChannelChanges {
  const made: ChannelChanges = {}
  if (after.name.trim() !== before.name) made.name = after.name.trim()
  if (after.url.trim()) made.url = after.url.trim()
  if (after.secret.trim() && takesSecret(after.kind)) made.secret = after.secret.trim()
  if (after.kind === 'email' && JSON.stringify(after.to) !== JSON.stringify(before.to)) made.to = after.to
  if (after.takes_all !== before.takes_all) made.takes_all = after.takes_all
  if (after.enabled !== before.enabled) made.enabled = after.enabled
  return made
}
