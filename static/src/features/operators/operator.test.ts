import { expect, it } from 'vitest'
import { rolesFor } from './operator'

const all = ['ops_admin', 'ops_viewer', 'support', 'tenant_admin', 'tenant_staff']

it('offers to each the roles that can be theirs', () => {
  expect(rolesFor(null, all)).toEqual(['ops_admin', 'ops_viewer', 'support'])
  expect(rolesFor({ tenant_id: null, role: 'ops_admin' }, all)).toEqual(['ops_admin', 'ops_viewer', 'support'])
  expect(rolesFor({ tenant_id: 'ten_1', role: 'tenant_staff' }, all)).toEqual([
    'support',
    'tenant_admin',
    'tenant_staff',
  ])
  // Whoever belongs to a tenant sees the roles they may give, and makes people of that tenant.
  expect(rolesFor(null, ['tenant_admin', 'tenant_staff'])).toEqual(['tenant_admin', 'tenant_staff'])
})

it('leaves a role that somebody holds, whatever it is', () =>
  expect(rolesFor({ tenant_id: 'ten_1', role: 'ops_viewer' }, all)).toContain('ops_viewer'))
