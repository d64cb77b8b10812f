import { describe, expect, it } from 'vitest'
import { changes, creation, draftOf, emptyDraft, hiring, type Tenant, type TenantStats, valuesOf } from './tenant'

const tenant = { name: 'Kimono One', daily_budget: '20.50', monthly_budget: null, budget_currency: 'CNY' } as Tenant

describe('what a form asks for', () => {
  it('leaves no budget where none was typed', () => {
    expect(creation({ ...emptyDraft(), name: ' Shop ' })).toEqual({
      name: 'Shop',
      daily_budget: null,
      monthly_budget: null,
      budget_currency: 'USD',
    })
  })
  it('changes only what differs, and takes a budget away', () => {
    const before = draftOf(tenant)
    expect(changes(before, { ...before, name: 'Kimono', daily_budget: ' ' })).toEqual({
      name: 'Kimono',
      daily_budget: null,
    })
    expect(changes(before, { ...before, daily_budget: '20.50 ' })).toEqual({})
  })
  it('makes a person of the tenant, who is called what they sign in as unless a name is given', () => {
    expect(hiring('ten_1', { username: ' ann ', display_name: ' ', role: 'tenant_staff' })).toEqual({
      tenant_id: 'ten_1',
      username: 'ann',
      display_name: null,
      role: 'tenant_staff',
    })
  })
})

it('a day whose cost is not known is a gap', () => {
  const day = { conversations: 1, api_calls: 2, total_tokens: 3, cost: '0.5' }
  const trend = [day, { ...day, cost: null }] as TenantStats['trend']
  expect(valuesOf('cost', trend)).toEqual([0.5, null])
  expect(valuesOf('requests', trend)).toEqual([2, 2])
})
