/** One column of a DataTable. */
export interface Column<T> {
  key: string
  title: string
  /** A CSS grid track; default `minmax(6rem, 1fr)`. */
  width?: string
  align?: 'left' | 'right'
  sortable?: boolean
  hiddenAtFirst?: boolean
  /** Shown when there is no `cell-<key>` slot. */
  value: (row: T) => string | number | null
  /** On a phone a row is a card: what chooses it before one title, some facts below that, the rest left out. */
  phone?: 'choice' | 'title' | 'meta' | 'hide'
}
