/** Relative change, or null when there is nothing to compare with. */
export const change = (now: number | null | undefined, before: number | null | undefined): number | null =>
  now == null || !before ? null : (now - before) / before

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
