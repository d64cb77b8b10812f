// A trend as the series of a chart: one measure of it, whole or by the greatest of a group with the rest beside them. Pure.
import type { Series } from '@/charts/options'
import type { components } from '@/api/schema'
import { costValue } from '@/kit'

export type Point = components['schemas']['TrendItem']
export const measures = ['requests', 'tokens', 'cost', 'errors', 'latency'] as const
export type Measure = (typeof measures)[number]

/** Null where there is nothing to tell: no calls to take a percentile of, no price. */
export function valueOf(measure: Measure, point: Point): number | null {
  switch (measure) {
    case 'requests':
      return point.request_count
    case 'tokens':
      return point.total_tokens
    case 'errors':
      return point.error_count
    case 'cost':
      return costValue(point)
    case 'latency':
      return point.p95_duration_ms ?? null
  }
}

/** Percentiles do not add up. */
export const addsUp = (measure: Measure): boolean => measure !== 'latency'

const colours = ['series-1', 'series-2', 'series-3', 'series-4', 'series-5'] as const
/** So many of a group are told apart. */
export const partsMost = colours.length

export interface Part {
  /** Of its row. */
  key?: string
  name: string
  points: readonly Point[]
}

/** The parts by time, and what of the whole is not theirs as `restName`, unless that is nothing throughout. */
export function partSeries(
  measure: Measure,
  whole: readonly Point[],
  parts: readonly Part[],
  restName: string,
): Series[] {
  const stacked = addsUp(measure)
  const told = parts.slice(0, partsMost).map((part, index): Series => {
    const byTime = new Map(part.points.map((point) => [point.at, valueOf(measure, point)]))
    return {
      name: part.name,
      key: part.key,
      colour: colours[index]!,
      values: whole.map((point) => byTime.get(point.at) ?? null),
      ...(stacked ? { stack: 'all' } : {}),
    }
  })
  if (!stacked) return told
  const rest = whole.map((point, index) => {
    const all = valueOf(measure, point)
    if (all === null) return null
    // Asked one after the other, a part may already know a call that the whole did not; money is not cut to whole cents.
    const left = all - told.reduce((sum, part) => sum + (part.values[index] ?? 0), 0)
    return left > all * 1e-9 ? left : 0
  })
  return rest.some((value) => value)
    ? [...told, { name: restName, colour: 'series-6', values: rest, stack: 'all' }]
    : told
}

/** The period now over the one before it, bucket by bucket from each one's beginning. */
export function againstSeries(
  measure: Measure,
  now: readonly Point[],
  before: readonly Point[],
  names: { now: string; before: string },
): Series[] {
  return [
    { name: names.now, colour: 'accent', values: now.map((point) => valueOf(measure, point)) },
    {
      name: names.before,
      colour: 'series-2',
      dashed: true,
      isPast: true,
      values: now.map((_, index) => (before[index] ? valueOf(measure, before[index]) : null)),
    },
  ]
}
