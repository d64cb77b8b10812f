// How long a quota lasts at the pace of late. Pure.

const dayMs = 86_400_000

export interface Pace {
  left: number
  /** Between 0 and 1, or above when calls that were under way went over it. */
  usedShare: number
  /** Days until it is used up at this pace; null when nothing was used, or when nothing is left. */
  daysLeft: number | null
}

/** `used` of `quota` over the key's life, of these `lately` within the range from `from` to `to`. */
export function paceOf(quota: number, used: number, lately: number, from: string, to: string): Pace {
  const left = Math.max(0, quota - used)
  const days = Math.max(0, Date.parse(to) - Date.parse(from)) / dayMs
  const aDay = days > 0 ? lately / days : 0
  return { left, usedShare: quota > 0 ? used / quota : 1, daysLeft: left > 0 && aDay > 0 ? left / aDay : null }
}
