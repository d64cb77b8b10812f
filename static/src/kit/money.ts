// Money as the books hold it: exact decimals with a currency, never floats. Only what is drawn becomes a number.
import { currentLocale } from '@/i18n'
import { none } from './format'

/** An amount in one currency, the amount a decimal such as "12.3456". */
export interface Money {
  amount: string
  currency: string
}

/** What calls came to in money. Calls without a price are counted apart: they are unknown, not free. */
export interface Cost {
  /** In the currency of display; null when nothing has a price. */
  total: Money | null
  /** As it was charged, where that was in more than the currency of display. */
  charged: Money[]
  unpriced: number
  calls: number
}

/** The part of the statistics that tells of money. */
interface Counted {
  request_count: number
  cost?: string | null
  currency?: string | null
  cost_usd?: string
  cost_cny?: string
  unpriced_count?: number
}

function chargedOf({ currency, cost_usd = '0', cost_cny = '0' }: Counted): Money[] {
  const charged = [
    { amount: cost_usd, currency: 'USD' },
    { amount: cost_cny, currency: 'CNY' },
  ].filter((money) => Number(money.amount) !== 0)
  return charged.some((money) => money.currency !== currency) ? charged : []
}

export const costOf = (numbers: Counted): Cost => ({
  total: numbers.cost == null ? null : { amount: numbers.cost, currency: numbers.currency ?? '' },
  charged: chargedOf(numbers),
  unpriced: numbers.unpriced_count ?? 0,
  calls: numbers.request_count,
})

/** For a chart: null is a gap. A stretch whose calls all lack a price has no cost, one without calls has none either. */
export const costValue = (numbers: Counted): number | null => {
  if (numbers.cost == null) return null
  const value = Number(numbers.cost)
  return Number.isFinite(value) ? value : null
}

/** $1,234.50, ¥0.0042: cents for what is worth cents, four significant digits for less. */
export function formatMoney(money: Money | null | undefined): string {
  if (!money) return none
  const value = Number(money.amount)
  if (!Number.isFinite(value)) return `${money.amount} ${money.currency}`.trim()
  return formatAmount(value, money.currency)
}

export function formatAmount(value: number, currency: string): string {
  const isSmall = value !== 0 && Math.abs(value) < 1
  const digits = isSmall ? { maximumSignificantDigits: 4 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 }
  if (!/^[A-Z]{3}$/.test(currency)) {
    return `${new Intl.NumberFormat(currentLocale(), digits).format(value)} ${currency}`.trim()
  }
  return new Intl.NumberFormat(currentLocale(), {
    style: 'currency',
    currency,
    currencyDisplay: 'narrowSymbol',
    ...digits,
  }).format(value)
}
