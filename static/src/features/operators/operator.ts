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

const isOf = (whom: 'ops' | 'tenant') => (name: string) => name.startsWith(`${whom}_`)
/**
 * What can be given of these roles to somebody, or to somebody new: those of the installation to nobody of a tenant, and the
 * other way round. Who is offered none of the installation belongs to a tenant, as whom they make will.
 */
export function rolesFor(one: Pick<Schemas['OperatorShown'], 'tenant_id' | 'role'> | null, names: readonly string[]) {
  const ofTenant = one ? one.tenant_id != null : !names.some(isOf('ops'))
  const isOthers = isOf(ofTenant ? 'ops' : 'tenant')
  return names.filter((name) => name === one?.role || !isOthers(name))
}

/** Only what differs, so that a new name brings back no role that somebody else took away. */
export const changes = (before: OperatorForm, after: OperatorForm): Schemas['OperatorChanges'] =>
  Object.fromEntries(Object.entries(after).filter(([field, value]) => value !== before[field as keyof OperatorForm]))
