// A tenant as the page tells it: what its form holds and changes, and where its things are found. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Tenant = Schemas['TenantView']
export type TenantStats = Schemas['TenantStats']
export type NewTenant = Schemas['NewTenant']
export type TenantChanges = Schemas['TenantChanges']
export type Person = Schemas['OperatorShown']

export interface Draft {
  name: string
  /** A decimal as typed, so that none of its digits is lost; empty: no budget. */
  daily_budget: string
  monthly_budget: string
  budget_currency: string
}
export const emptyDraft = (): Draft => ({ name: '', daily_budget: '', monthly_budget: '', budget_currency: 'USD' })
export const draftOf = (tenant: Tenant): Draft => ({
  name: tenant.name,
  daily_budget: tenant.daily_budget ?? '',
  monthly_budget: tenant.monthly_budget ?? '',
  budget_currency: tenant.budget_currency,
})
const orNull = (text: string) => text.trim() || null
export const creation = (draft: Draft): NewTenant => ({
  name: draft.name.trim(),
  daily_budget: orNull(draft.daily_budget),
  monthly_budget: orNull(draft.monthly_budget),
  budget_currency: draft.budget_currency as NewTenant['budget_currency'],
})

/** Only what differs, so that a new name brings back no budget that somebody else took away. */
export function changes(before: Draft, after: Draft): TenantChanges {
  const [was, is] = [creation(before), creation(after)]
  return Object.fromEntries(Object.entries(is).filter(([key, value]) => value !== was[key as keyof NewTenant]))
}

export const roles = ['tenant_admin', 'tenant_staff'] as const
export type Role = (typeof roles)[number]
export interface PersonDraft {
  username: string
  display_name: string
  role: Role
}
export const emptyPerson = (): PersonDraft => ({ username: '', display_name: '', role: 'tenant_staff' })
export const hiring = (tenant_id: string, draft: PersonDraft): Schemas['OperatorNew'] => ({
  tenant_id,
  username: draft.username.trim(),
  display_name: draft.display_name.trim() || null,
  role: draft.role,
})

/** Where what belongs to a tenant is found, and what it takes to look there. */
export const places = [
  { key: 'requests', path: '/requests', permission: 'read:logs' },
  { key: 'conversations', path: '/conversations', permission: 'read:conversations' },
  { key: 'knowledge', path: '/knowledge', permission: 'read:knowledge' },
  { key: 'feedback', path: '/feedback', permission: 'read:feedback' },
  { key: 'usage', path: '/usage', permission: 'read:stats' },
  { key: 'tokens', path: '/tokens', permission: 'read:tokens' },
] as const

/** What the courses of its chart are of. */
export const measures = ['conversations', 'requests', 'tokens', 'cost'] as const
export type Measure = (typeof measures)[number]
export function valuesOf(measure: Measure, days: TenantStats['trend']): (number | null)[] {
  switch (measure) {
    case 'conversations':
      return days.map((day) => day.conversations)
    case 'requests':
      return days.map((day) => day.api_calls)
    case 'tokens':
      return days.map((day) => day.total_tokens)
    case 'cost':
      return days.map((day) => (day.cost == null ? null : Number(day.cost)))
  }
}
