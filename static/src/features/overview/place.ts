// Where a line of the log is found: in a range that holds it. Pure.
import { beginningOf, type Range } from '@/kit'

/** Nothing where the range that is chosen holds it; else one that begins with it. `zone` is the server's. */
export function rangeWith(at: string, chosen: Range, nowMs: number, zone: string | undefined): Range {
  const begins = chosen.from ?? beginningOf(chosen.range ?? '', nowMs, zone)
  const ms = Date.parse(at)
  const isWithin =
    begins !== undefined && Date.parse(begins) <= ms && (chosen.to === undefined || ms < Date.parse(chosen.to))
  return isWithin ? {} : { from: at }
}
