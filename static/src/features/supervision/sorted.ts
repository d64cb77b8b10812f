// The flat table's order. The whole tree is a few dozen rows, so the page sorts it itself.
import type { Movement, Row } from './tree'

export function sorted(rows: Row[], sort: string, moved: ReadonlyMap<string, Movement>): Row[] {
  const descending = sort.startsWith('-')
  const key = descending ? sort.slice(1) : sort
  const value = (row: Row): string | number => {
    switch (key) {
      case 'state':
        return row.node.state
      case 'depth':
        return row.node.depth
      case 'rate':
        return moved.get(row.node.id)?.perSecond ?? -1
      case 'p99_us':
        return row.node.p99_us
      case 'restarts':
        return row.node.restarts
      case 'last_exit':
        return row.node.last_exit?.at ?? ''
      default:
        return row.node.id
    }
  }
  const order = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0)
  return [...rows].sort((a, b) => (descending ? -1 : 1) * order(value(a), value(b)) || order(a.node.id, b.node.id))
}
