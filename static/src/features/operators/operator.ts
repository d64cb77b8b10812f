// What a form holds of an operator, and what it changes. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export interface OperatorForm {
  username: string
  display_name: string
  role: string
  enabled: boolean
}
export const emptyForm = (): OperatorForm => ({ username: '', display_name: '', role: 'ops_viewer', enabled: true })
export const formOf = ({ username, display_name, role, enabled }: Schemas['OperatorShown']): OperatorForm => ({
  username,
  display_name,
  role,
  enabled,
})

/** Only what differs, so that a new name brings back no role that somebody else took away. */
export const changes = (before: OperatorForm, after: OperatorForm): Schemas['OperatorChanges'] =>
  Object.fromEntries(Object.entries(after).filter(([field, value]) => value !== before[field as keyof OperatorForm]))
