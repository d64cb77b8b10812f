// What a form holds of a rule and of a silence, and the requests they become. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Alert = Schemas['AlertShown']
export type Rule = Schemas['AlertRuleShown']
export type NewRule = Schemas['NewAlertRule']
export type Silence = Schemas['SilenceShown']
export type Preview = Schemas['AlertPreview']

export const severities = ['info', 'warning', 'error', 'critical'] as const
export const splits = ['tenant', 'app', 'model', 'account', 'token'] as const
export const whens = ['ok', 'keep', 'alert'] as const
export const events = ['fired', 'resolved', 'acknowledged', 'repeated', 'flapping'] as const
export const statuses = ['firing', 'acknowledged', 'resolved'] as const
export const silenceStates = ['waiting', 'in_force', 'over'] as const
/** A word of the server among those the console knows; the first for any other. */
export const oneOf = <T extends string>(known: readonly [T, ...T[]], word: string): T =>
  known.find((one) => one === word) ?? known[0]
export const tones = { info: 'info', warning: 'warn', error: 'bad', critical: 'bad' } as const

export interface RuleDraft {
  name: string
  condition: string
  window: string
  for: string
  keep_firing_for: string
  severity: string
  no_data: string
  split_by: string
  filter: string[]
  channels: string[]
  enabled: boolean
}

export const emptyDraft = (): RuleDraft => ({
  name: '',
  condition: 'error_rate > 0.1',
  window: '5m',
  for: '2m',
  keep_firing_for: '0s',
  severity: 'warning',
  no_data: 'ok',
  split_by: '',
  filter: [],
  channels: [],
  enabled: true,
})

export const draftOf = (rule: Rule): RuleDraft => ({
  name: rule.name,
  condition: rule.condition,
  window: rule.window,
  for: rule.for,
  keep_firing_for: rule.keep_firing_for,
  severity: rule.severity,
  no_data: rule.no_data,
  split_by: rule.split_by[0] ?? '',
  filter: rule.filter,
  channels: rule.channels,
  enabled: rule.enabled,
})

export const requestOf = (draft: RuleDraft): NewRule => ({
  ...draft,
  name: draft.name.trim(),
  condition: draft.condition.trim(),
  split_by: draft.split_by ? [draft.split_by] : [],
})

/** The labels of a series as one text. */
export const labelsText = (labels: Record<string, string>): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(' · ')
