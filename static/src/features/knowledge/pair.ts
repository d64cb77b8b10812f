// Pairs as the page tells them: drafts and what is sent of them. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Pair = Schemas['QaPair']
export type NewPair = Schemas['NewPair']
export type PairText = Schemas['PairText']
export type Bulk = Schemas['Bulk']

export interface Draft {
  tenant: string
  question: string
  answer: string
  category: string
  /** As it is typed. */
  quality: string
}
export const emptyDraft = (tenant = ''): Draft => ({ tenant, question: '', answer: '', category: '', quality: '' })
export const draftOf = (pair: Pair): Draft => ({
  tenant: pair.tenant_id,
  question: pair.question,
  answer: pair.answer,
  category: pair.category,
  quality: pair.quality_score == null ? '' : String(pair.quality_score),
})
/** What was typed as a score; undefined when it is none. */
export function scoreOf(typed: string): number | null | undefined {
  const text = typed.trim()
  if (text === '') return null
  const score = Number(text)
  return Number.isFinite(score) && score >= 0 && score <= 1 ? score : undefined
}
export function textOf(draft: Draft): PairText {
  return {
    question: draft.question.trim(),
    answer: draft.answer.trim(),
    category: draft.category.trim(),
    quality_score: scoreOf(draft.quality) ?? null,
  }
}
/** What several say in one: the first question, every answer once, the first category and score there is. */
export function joined(drafts: readonly Draft[]): Draft {
  const first = drafts[0] ?? emptyDraft()
  const answers = [...new Set(drafts.map((one) => one.answer.trim()))]
  return {
    ...first,
    answer: answers.join('\n\n'),
    category: drafts.find((one) => one.category)?.category ?? '',
    quality: drafts.find((one) => one.quality)?.quality ?? '',
  }
}
export const creation = (draft: Draft, again: boolean): NewPair => ({
  ...textOf(draft),
  ...(draft.tenant ? { tenant_id: draft.tenant } : {}),
  allow_duplicate: again,
})

/** What came of having many synchronised. */
export interface Synced {
  synced: number
  /** Those that needed nothing. */
  already: number
  failed: number
  reasons: { error: string; pairs: number }[]
}
/** A job's result read as that; null when it is something else. */
export function syncedOf(result: unknown): Synced | null {
  const { synced, already, failed, reasons } = (result ?? {}) as Partial<Synced>
  if (typeof synced !== 'number' || typeof already !== 'number' || typeof failed !== 'number') return null
  return { synced, already, failed, reasons: Array.isArray(reasons) ? reasons : [] }
}
