// Numbers over time: how they changed, how their buckets are called and how long these are. Pure.
import type { Range } from './useTimeRange'

/** Relative change, or null when there is nothing to compare with. */
export const change = (now: number | null | undefined, before: number | null | undefined): number | null =>
  now == null || !before ? null : (now - before) / before

/** Sums; everything else (shares, means, quantiles) is the same however long one counts. */
const isSum = (field: string) => /_count$|^total_|^cost(_|$)/.test(field)
interface Stretch {
  from: string
  to: string
}
/**
 * What the stretch before would have come to, had it lasted as long as the one it is compared with: where only whole days are
 * kept, one of the two is longer by up to a day.
 */
export function comparable<T extends Stretch>(overview: (Stretch & { previous: T }) | undefined): T | null {
  if (!overview) return null
  const lasted = ({ from, to }: Stretch) => Date.parse(to) - Date.parse(from)
  const { previous } = overview
  const times = lasted(overview) / lasted(previous)
  if (times === 1 || !Number.isFinite(times)) return previous
  const scaled = Object.entries(previous).map(([field, value]) => {
    if (!isSum(field) || value === null) return [field, value]
    return [field, typeof value === 'string' ? String(Number(value) * times) : (value as number) * times]
  })
  return Object.fromEntries(scaled) as T
}

/** How a bucket's beginning is written: the hour within a short range, the day in a long one. */
export function bucketLabel(at: string, by: string, locale: string, timeZone: string): string {
  const hourly = by === 'hour'
  return new Intl.DateTimeFormat(locale, {
    month: 'short',
    day: 'numeric',
    ...(hourly ? { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' as const } : {}),
    timeZone,
  }).format(new Date(at))
}

/** The last bucket of what reaches to `to` goes on. */
export const goesOn = (to: string | null | undefined, nowMs: number): boolean => to != null && Date.parse(to) > nowMs

/** The day a date tells is today, on the calendar of `timeZone`. */
export const isToday = (date: string | undefined, timeZone: string, nowMs: number): boolean =>
  date === new Intl.DateTimeFormat('en-CA', { timeZone }).format(nowMs)

const hourMs = 3_600_000
const dayMs = 24 * hourMs

/** How long a range is. Named ranges as the server reads them; what it does not know here counts as a day. */
export function rangeMs({ range, from, to }: Range, nowMs: number): number {
  if (from) return Math.max(0, (to ? Date.parse(to) : nowMs) - Date.parse(from)) || dayMs
  const counted = /^(\d+)([hd])$/.exec(range ?? '')
  if (counted) return Number(counted[1]) * (counted[2] === 'h' ? hourMs : dayMs)
  // The month's length so far; a month at most, since only its order of size matters.
  return range === 'this_month' ? new Date(nowMs).getDate() * dayMs : dayMs
}

/** Buckets that can be told apart in a chart: hours up to a week and a day, then days. */
export const grainOf = (range: Range, nowMs: number): 'hour' | 'day' =>
  rangeMs(range, nowMs) <= 8 * dayMs ? 'hour' : 'day'
