import { describe, expect, it } from 'vitest'
import { changes, creation, emptyDraft } from './draft'

describe('what a form becomes', () => {
  it('sends nothing for what was left empty', () => {
    expect(creation({ ...emptyDraft(), name: ' app ' })).toMatchObject({
      name: 'app',
      app: null,
      tenant_id: null,
      allowed_models: null,
      rpm: null,
    })
  })

  it('changes only what was changed', () => {
    const before = { ...emptyDraft(), name: 'a', rpm: 60, allowed_models: ['m'] }
    expect(changes(before, { ...before, allowed_models: ['m'] })).toEqual({})
    expect(changes(before, { ...before, rpm: 120 })).toEqual({ rpm: 120 })
    expect(changes(before, { ...before, knowledge: true })).toEqual({ knowledge: true })
  })

  it('sends a budget to the digit, and takes it away by null', () => {
    const before = { ...emptyDraft(), name: 'a', daily_budget: '20.5' }
    expect(changes(before, { ...before, monthly_budget: ' 0.000000001 ' })).toEqual({ monthly_budget: '0.000000001' })
    expect(changes(before, { ...before, daily_budget: '', budget_currency: 'CNY' })).toEqual({
      daily_budget: null,
      budget_currency: 'CNY',
    })
  })

  it('takes a limit away by null', () => {
    const before = { ...emptyDraft(), name: 'a', rpm: 60, allowed_models: ['m'] }
    expect(changes(before, { ...before, rpm: null, allowed_models: [] })).toEqual({ rpm: null, allowed_models: null })
  })
})
