/**
 * An SVG path through the values in a box, a gap where one is missing; through those from `from` to before `to` where not
 * all are drawn alike. A flat series lies on the middle line.
 */
export function sparkPath(
  values: readonly (number | null)[],
  width: number,
  height: number,
  from = 0,
  to = values.length,
): string {
  const known = values.filter((value): value is number => value !== null)
  if (known.length === 0) return ''
  const least = Math.min(...known)
  const span = Math.max(...known) - least
  const x = (index: number) => (values.length === 1 ? width / 2 : (index / (values.length - 1)) * width)
  const y = (value: number) => (span === 0 ? height / 2 : height - 1 - ((value - least) / span) * (height - 2))
  let path = ''
  let drawing = false
  values.forEach((value, index) => {
    if (value === null || index < from || index >= to) {
      drawing = false
      return
    }
    path += `${drawing ? 'L' : 'M'}${x(index).toFixed(1)} ${y(value).toFixed(1)}`
    drawing = true
  })
  return path
}
