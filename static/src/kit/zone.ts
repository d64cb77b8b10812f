// Days of a time zone that need not be the browser's: the server's, in which it counts. Pure.
import { rangeMs } from './trend'

const hourMs = 3_600_000
const written = new Map<string, Intl.DateTimeFormat>()

/** What clocks show there, as if it were UTC. */
function wallMs(atMs: number, timeZone: string): number {
  if (!written.has(timeZone))
    written.set(
      timeZone,
      new Intl.DateTimeFormat('en', {
        timeZone,
        hourCycle: 'h23',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      }),
    )
  const parts = written.get(timeZone)!.formatToParts(atMs)
  const part = (type: string) => Number(parts.find((one) => one.type === type)?.value)
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'))
}

/** When the day of `atMs` began there, or its month. */
export function beganMs(what: 'day' | 'month', atMs: number, timeZone: string): number {
  const wall = new Date(wallMs(atMs, timeZone))
  const midnight = Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth(), what === 'month' ? 1 : wall.getUTCDate())
  const offset = (at: number) => wallMs(at, timeZone) - at
  const near = midnight - offset(midnight - offset(atMs))
  // Clocks are turned at midnight in some places: the earlier of two, and without any the first hour there is.
  const found = [near - hourMs, near, near + hourMs].find((at) => wallMs(at, timeZone) >= midnight)
  return found ?? near
}

/** When a named range begins; `zone` is the server's, whose days those of the list are. */
export function beginningOf(range: string, nowMs: number, zone: string | undefined): string | undefined {
  const at = (ms: number) => new Date(ms).toISOString()
  if (range === 'today' || range === 'this_month')
    return zone && at(beganMs(range === 'today' ? 'day' : 'month', nowMs, zone))
  return /^\d+[hd]$/.test(range) ? at(nowMs - rangeMs({ range }, nowMs)) : undefined
}
