// What a form holds of a rule, and the requests it becomes. Pure.
import type { components } from '@/api/schema'

export type Rule = components['schemas']['RedactionRuleView']
export type NewRule = components['schemas']['NewRedactionRule']
export type RuleChanges = components['schemas']['RedactionRuleChanges']

export interface RuleDraft {
  name: string
  pattern: string
  replacement: string
  enabled: boolean
}

export const emptyDraft = (): RuleDraft => ({ name: '', pattern: '', replacement: '[redacted]', enabled: true })
export const draftOf = ({ name, pattern, replacement, enabled }: Rule): RuleDraft => ({
  name,
  pattern,
  replacement,
  enabled,
})
/** A pattern is sent as it was typed: blanks may be meant. */
export const creation = (draft: RuleDraft): NewRule => ({
  ...draft,
  name: draft.name.trim(),
  replacement: draft.replacement.trim(),
})

/** Only what differs from `before`, so that two people may change different things. */
export function changes(before: RuleDraft, after: RuleDraft): RuleChanges {
  const [was, is] = [creation(before), creation(after)]
  return Object.fromEntries(Object.entries(is).filter(([key, value]) => value !== was[key as keyof NewRule]))
}
