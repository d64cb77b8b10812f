// Templates as the page tells them: tones of standings, drafts, and what a distribution asks for. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Template = Schemas['Template']
export type Standing = Schemas['TemplateTenant']
export type Preview = Schemas['DistributionPreview']
export type Conflict = Preview['conflicts'][number]
export type Distribution = Schemas['Distribution']
export type OnConflict = NonNullable<Distribution['on_conflict']>
export type State = Standing['state']

export const tones = {
  missing: 'idle',
  current: 'ok',
  outdated: 'warn',
  edited: 'info',
  edited_outdated: 'warn',
  removed: 'idle',
  own_question: 'info',
} as const satisfies Record<State, string>

export interface Draft {
  question: string
  answer: string
  category: string
}
export const emptyDraft = (): Draft => ({ question: '', answer: '', category: '' })
export const draftOf = ({ question, answer, category }: Template): Draft => ({ question, answer, category })
export const trimmed = ({ question, answer, category }: Draft): Draft => ({
  question: question.trim(),
  answer: answer.trim(),
  category: category.trim(),
})

/** Where a tenant and a template meet. */
export const meeting = (of: { template_id: string; tenant_id: string }) => `${of.template_id} ${of.tenant_id}`

/**
 * What is asked for. Every conflict that was shown is told with the words it was decided on, so that words which were
 * changed since are left as they are; the choice for all holds for those that were not shown.
 */
export function distributionOf(
  templates: readonly string[],
  tenants: readonly string[] | null,
  forAll: OnConflict,
  conflicts: readonly Conflict[],
  chosen: Readonly<Record<string, OnConflict | ''>>,
): Distribution {
  return {
    template_ids: [...templates],
    ...(tenants ? { tenant_ids: [...tenants] } : { all_tenants: true }),
    on_conflict: forAll,
    decisions: conflicts.map((one) => ({
      template_id: one.template_id,
      tenant_id: one.tenant_id,
      action: chosen[meeting(one)] || forAll,
      ...(one.pair_version == null ? {} : { pair_version: one.pair_version }),
    })),
  }
}

const counted = ['created', 'updated', 'replaced', 'kept', 'skipped', 'unchanged'] as const
export type Counted = (typeof counted)[number]
export interface Outcome {
  tenant_id: string
  tenant_name: string
  failed: boolean
  counts: { kind: Counted; n: number }[]
}

/** What the job's result tells of each tenant; nothing of a result that is none. */
export function outcomesOf(result: unknown): Outcome[] {
  const tenants = (result as { tenants?: unknown } | null | undefined)?.tenants
  if (!Array.isArray(tenants)) return []
  return (tenants as Record<string, unknown>[]).map((tenant) => {
    const counts = (tenant.counts ?? {}) as Partial<Record<Counted, number>>
    return {
      tenant_id: String(tenant.tenant_id),
      tenant_name: String(tenant.tenant_name),
      failed: tenant.outcome === 'failed',
      counts: counted.flatMap((kind) => (counts[kind] ? [{ kind, n: counts[kind] }] : [])),
    }
  })
}
