/** One part of a whole. */
export interface Slice {
  name: string
  value: number
  /** A token name: `ok`, `bad`, `series-2`, … */
  colour: string
  /** What lies behind it. */
  to?: { path: string; query?: Record<string, string> }
}

export interface Arc {
  /** Percent of the ring. */
  share: number
  /** Where it begins, in percent of the ring. */
  from: number
}

/** A sliver is drawn at least so wide, so that what happened seldom is still seen to have happened. */
const leastPercent = 1

/** Where each value lies on a ring of 100. What is nothing takes no room; what is little takes it from the greatest. */
export function arcs(values: readonly number[]): Arc[] {
  const all = values.reduce((sum, value) => sum + Math.max(0, value), 0)
  if (all === 0) return values.map(() => ({ share: 0, from: 0 }))
  const shares = values.map((value) => (value <= 0 ? 0 : Math.max(leastPercent, (value / all) * 100)))
  const greatest = shares.indexOf(Math.max(...shares))
  shares[greatest] = shares[greatest]! - (shares.reduce((sum, share) => sum + share, 0) - 100)
  let from = 0
  return shares.map((share) => {
    const arc = { share, from }
    from += share
    return arc
  })
}
