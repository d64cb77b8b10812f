// What a form holds of a price, and the request it becomes. Pure. Amounts stay the decimals they were typed as.
import type { components } from '@/api/schema'

export type Price = components['schemas']['PriceShown']
export type Unpriced = components['schemas']['UnpricedModel']
export type NewFigures = components['schemas']['NewFigures']

export const currencies = ['USD', 'CNY'] as const
export type Currency = (typeof currencies)[number]

/** What longer prompts cost; an empty number of tokens is none yet. */
export interface TierDraft {
  above: number | null
  input: string
  output: string
  cached: string
  cache_write: string
  cache_write_1h: string
  reasoning: string
}

export interface PriceDraft {
  provider: string
  model: string
  currency: string
  input: string
  output: string
  cached: string
  cache_write: string
  cache_write_1h: string
  reasoning: string
  per_call: string
  per_unit: string
  tiers: TierDraft[]
  source: string
  valid_from: string | null
}

export const emptyDraft = (provider = '', model = ''): PriceDraft => ({
  provider,
  model,
  currency: 'USD',
  input: '',
  output: '',
  cached: '',
  cache_write: '',
  cache_write_1h: '',
  reasoning: '',
  per_call: '',
  per_unit: '',
  tiers: [],
  source: '',
  valid_from: null,
})

/** Another step, above the last. */
export const emptyTier = (): TierDraft => ({
  above: null,
  input: '',
  output: '',
  cached: '',
  cache_write: '',
  cache_write_1h: '',
  reasoning: '',
})

/** An override begins from what holds now. */
export const draftOf = (price: Price): PriceDraft => ({
  provider: price.provider,
  model: price.model,
  currency: price.currency,
  input: price.input,
  output: price.output,
  cached: price.cached ?? '',
  cache_write: price.cache_write ?? '',
  cache_write_1h: price.cache_write_1h ?? '',
  reasoning: price.reasoning ?? '',
  per_call: price.per_call === '0' ? '' : price.per_call,
  per_unit: price.per_unit === '0' ? '' : price.per_unit,
  tiers: price.tiers.map((tier) => ({
    above: tier.above,
    input: tier.input,
    output: tier.output,
    cached: tier.cached ?? '',
    cache_write: tier.cache_write ?? '',
    cache_write_1h: tier.cache_write_1h ?? '',
    reasoning: tier.reasoning ?? '',
  })),
  source: price.origin === 'operator' ? (price.source ?? '') : '',
  valid_from: null,
})

const given = (text: string): string | undefined => text.trim() || undefined

export const figures = (draft: PriceDraft): NewFigures => ({
  currency: draft.currency as Currency,
  input: draft.input.trim(),
  output: given(draft.output) ?? '0',
  cached: given(draft.cached),
  cache_write: given(draft.cache_write),
  cache_write_1h: given(draft.cache_write_1h),
  reasoning: given(draft.reasoning),
  per_call: given(draft.per_call),
  per_unit: given(draft.per_unit),
  tiers: draft.tiers.map((tier) => ({
    // The server says what is wrong with none.
    above: tier.above ?? 0,
    input: tier.input.trim(),
    output: given(tier.output) ?? '0',
    cached: given(tier.cached),
    cache_write: given(tier.cache_write),
    cache_write_1h: given(tier.cache_write_1h),
    reasoning: given(tier.reasoning),
  })),
  source: given(draft.source),
  valid_from: draft.valid_from ?? undefined,
})

/** 2.5 → $2.50: as price pages write it, every digit that was given. */
export const amount = (decimal: string | null | undefined, currency: string): string | null => {
  if (decimal == null) return null
  const [whole = '0', fraction = ''] = decimal.split('.')
  const sign = currency === 'CNY' ? '¥' : currency === 'USD' ? '$' : `${currency} `
  return `${sign}${whole}.${fraction.padEnd(2, '0')}`
}

/** Where a price page is named, and nothing a browser would run. */
export const link = (source: string | null | undefined): string | null =>
  source && /^https?:\/\//.test(source) ? source : null
