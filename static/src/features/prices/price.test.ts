import { describe, expect, it } from 'vitest'
import { amount, draftOf, emptyDraft, emptyTier, figures, link, type Price } from './price'

const price: Price = {
  id: 'prc_1',
  provider: 'openai',
  model: 'gpt-4o',
  currency: 'USD',
  input: '2.5',
  output: '10',
  cached: '1.25',
  cache_write: null,
  cache_write_1h: null,
  reasoning: null,
  per_call: '0',
  per_unit: '0.000016',
  tiers: [],
  valid_from: '1970-01-01T00:00:00.000Z',
  origin: 'list',
  source: 'https://example.com/pricing',
  removed: false,
  in_force: true,
  created_by: 'list',
  created_at: '2026-03-15T18:30:00.000Z',
  version: 3,
}

describe('a price as a draft', () => {
  it('begins from what holds now and claims no source of its own', () => {
    const draft = draftOf(price)
    expect(draft).toMatchObject({
      input: '2.5',
      cached: '1.25',
      cache_write: '',
      per_call: '',
      per_unit: '0.000016',
      source: '',
    })
    expect(draftOf({ ...price, origin: 'operator' }).source).toBe('https://example.com/pricing')
  })

  it('sends what was typed to the digit, and leaves out what was not', () => {
    const draft = { ...emptyDraft('p', 'm'), currency: 'CNY', input: ' 0.000000001 ', reasoning: '8' }
    expect(JSON.parse(JSON.stringify(figures(draft)))).toEqual({
      currency: 'CNY',
      input: '0.000000001',
      output: '0',
      reasoning: '8',
      tiers: [],
    })
  })

  it('keeps what longer prompts cost', () => {
    const tier = { above: 200_000, input: '5', output: '15', cached: '0.5', cache_write: null, reasoning: null }
    const draft = draftOf({ ...price, tiers: [{ ...tier, cache_write_1h: null }] })
    draft.tiers.push({ ...emptyTier(), above: 500_000, input: '9 ' })
    expect(JSON.parse(JSON.stringify(figures(draft))).tiers).toEqual([
      { above: 200_000, input: '5', output: '15', cached: '0.5' },
      { above: 500_000, input: '9', output: '0' },
    ])
  })
})

describe('an amount', () => {
  it('has two digits at least and loses none', () => {
    expect(amount('2.5', 'USD')).toBe('$2.50')
    expect(amount('10', 'CNY')).toBe('¥10.00')
    expect(amount('0.000000001', 'USD')).toBe('$0.000000001')
    expect(amount(null, 'USD')).toBeNull()
  })
})

it('links to addresses only', () => {
  expect(link('https://example.com')).toBe('https://example.com')
  for (const text of ['contract 7', 'javascript:alert(1)', null]) expect(link(text)).toBeNull()
})
