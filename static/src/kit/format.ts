// Numbers, durations and times as a reader of the chosen language writes them. Pure but for the locale in force.
import { currentLocale } from '@/i18n'

type Format = Intl.NumberFormat | Intl.DateTimeFormat | Intl.RelativeTimeFormat | Intl.ListFormat
const cache = new Map<string, Format>()
function made<T extends Format>(kind: string, make: (locale: string) => T): T {
  const locale = currentLocale()
  const key = `${locale} ${kind}`
  const known = cache.get(key) as T | undefined
  if (known) return known
  const fresh = make(locale)
  cache.set(key, fresh)
  return fresh
}

export const none = '–'
type Figure = number | null | undefined

export const formatNumber = (value: Figure, digits = 0): string =>
  value == null
    ? none
    : made(`n${digits}`, (l) => new Intl.NumberFormat(l, { maximumFractionDigits: digits })).format(value)

/** 12,345 → 12.3K / 1.23万; 195,400,000 → 195.4M / 1.95亿: large units still tell what moves. */
export const formatCompact = (value: Figure): string =>
  value == null
    ? none
    : made(
        'compact',
        (l) =>
          new Intl.NumberFormat(l, {
            notation: 'compact',
            maximumFractionDigits: 1,
            maximumSignificantDigits: 3,
            roundingPriority: 'morePrecision',
          }),
      ).format(value)

/** A share from 0 to 1. */
export const formatPercent = (share: Figure, digits = 1): string =>
  share == null
    ? none
    : made(`p${digits}`, (l) => new Intl.NumberFormat(l, { style: 'percent', maximumFractionDigits: digits })).format(
        share,
      )

/** Milliseconds with the unit a person would choose: 12 ms, 1.24 s, 3 min 20 s. */
export function formatMs(ms: Figure): string {
  if (ms == null) return none
  if (ms < 1000) return `${formatNumber(ms, ms < 10 ? 1 : 0)} ms`
  if (ms < 60_000) return `${formatNumber(ms / 1000, ms < 10_000 ? 2 : 1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}
export const formatMicros = (us: Figure): string =>
  us == null ? none : us < 1000 ? `${formatNumber(us)} µs` : formatMs(us / 1000)

export function formatBytes(bytes: Figure): string {
  if (bytes == null) return none
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${formatNumber(value, value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`
}

/** A, B and C / A、B和C. */
export const formatList = (items: readonly string[]): string =>
  made('list', (l) => new Intl.ListFormat(l)).format(items)

/** Sentences one after the other; in Chinese no blank stands between them. */
export const formatSentences = (sentences: readonly string[]): string =>
  sentences.filter(Boolean).join(currentLocale() === 'zh-CN' ? '' : ' ')

const stamp = (at: string | number | Date): Date => (at instanceof Date ? at : new Date(at))

/** Date and time to the second, in the browser's zone. */
export const formatTime = (at: string | number | Date | null | undefined): string =>
  at == null
    ? none
    : made('time', (l) => new Intl.DateTimeFormat(l, { dateStyle: 'medium', timeStyle: 'medium' })).format(stamp(at))

/** The day alone, of what is counted by days: told as its midnight, it is a day of the zone it was counted in. */
export const formatDay = (at: string | number | Date | null | undefined, timeZone: string): string =>
  at == null
    ? none
    : made(`date ${timeZone}`, (l) => new Intl.DateTimeFormat(l, { dateStyle: 'medium', timeZone })).format(stamp(at))

/** As short as the moment allows: the time today, else the day too. */
export function formatMoment(at: string | number | Date, now: number): string {
  const date = stamp(at)
  const today = new Date(now).toDateString() === date.toDateString()
  return made(today ? 'clock' : 'day', (l) =>
    today
      ? new Intl.DateTimeFormat(l, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
      : new Intl.DateTimeFormat(l, {
          month: 'short',
          day: 'numeric',
          hour: '2-digit',
          minute: '2-digit',
          hourCycle: 'h23',
        }),
  ).format(date)
}

/** 3 minutes ago / 3分钟前; in 2 days. */
export function formatRelative(at: string | number | Date, now: number): string {
  const seconds = (stamp(at).getTime() - now) / 1000
  const relative = made('relative', (l) => new Intl.RelativeTimeFormat(l, { numeric: 'auto', style: 'short' }))
  const steps: [number, Intl.RelativeTimeFormatUnit][] = [
    [60, 'second'],
    [3600, 'minute'],
    [86_400, 'hour'],
    [30 * 86_400, 'day'],
    [365 * 86_400, 'month'],
  ]
  let unitSeconds = 1
  for (const [limit, unit] of steps) {
    if (Math.abs(seconds) < limit) return relative.format(Math.trunc(seconds / unitSeconds), unit)
    unitSeconds = limit === 30 * 86_400 ? 30 * 86_400 : limit
  }
  return relative.format(Math.trunc(seconds / (365 * 86_400)), 'year')
}
