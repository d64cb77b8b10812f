// Which rows of a long table are drawn, and by which of its few row elements. Pure: heights in px, rows of one height.
//
// An element is a slot: row `n` is drawn by slot `n mod slots`, so that scrolling by one row gives one element another row
// and leaves all others alone. Nothing is made or thrown away while one scrolls.

export interface View {
  /** How far the rows have been scrolled. */
  scrolled: number
  /** What of them can be seen at once. */
  height: number
  rowHeight: number
  count: number
}
/** Drawn beyond what can be seen, on each side: what a hand scrolls before the next frame. */
const margin = 6

/** How many rows are drawn at once, wherever one is. */
export const slotsFor = ({ height, rowHeight, count }: Omit<View, 'scrolled'>): number =>
  Math.min(count, Math.ceil(height / rowHeight) + 1 + 2 * margin)

/** The first row drawn; `slotsFor` follow it. */
export function firstDrawn(view: View): number {
  const first = Math.floor(view.scrolled / view.rowHeight) - margin
  return Math.max(0, Math.min(first, view.count - slotsFor(view)))
}

/** The slots in the order of the rows they draw. */
export const inOrder = (first: number, slots: number): number[] =>
  Array.from({ length: slots }, (_, at) => (first + at) % slots)

/** The row a slot draws. */
export const rowOf = (slot: number, first: number, slots: number): number => {
  const ahead = (slot - first) % slots
  return first + (ahead < 0 ? ahead + slots : ahead)
}
