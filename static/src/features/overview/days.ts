// Daily figures as a course without holes: the server tells of days on which something happened. Pure.
import type { components } from '@/api/schema'

type Day = components['schemas']['ActiveUsers']
const dayMs = 86_400_000

/** Every day from the first one told to the last, at most `most` of them; days without anybody are zero. */
export function withoutHoles(
  items: readonly Day[],
  most = 30,
): Pick<Day, 'stat_date' | 'daily_active_users' | 'jwt_active_users'>[] {
  const [first, last] = [items[0], items.at(-1)]
  if (!first || !last) return []
  const known = new Map(items.map((item) => [item.stat_date, item]))
  const end = Date.parse(last.stat_date)
  const begin = Math.max(Date.parse(first.stat_date), end - (most - 1) * dayMs)
  const days: string[] = []
  // Dates alone, reckoned in UTC: no clock is changed there.
  for (let at = begin; at <= end; at += dayMs) days.push(new Date(at).toISOString().slice(0, 10))
  return days.map((stat_date) => known.get(stat_date) ?? { stat_date, daily_active_users: 0, jwt_active_users: 0 })
}
