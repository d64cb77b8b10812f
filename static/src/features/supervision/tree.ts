// The tree as rows, and what moved between two looks at it. Pure: the page passes both looks and the clock.
import type { components } from '@/api/schema'

export type TreeNode = components['schemas']['TreeNode']

export interface Row {
  node: TreeNode
  /** 0 for the root. */
  level: number
  /** Last segment of the path. */
  name: string
  parent: string | null
  /** Its place among its siblings, from 1, and how many they are. */
  position: number
  siblings: number
}

/** Depth first, in start order. */
export function rowsOf(root: TreeNode): Row[] {
  const rows: Row[] = []
  const walk = (node: TreeNode, level: number, parent: string | null, position: number, siblings: number) => {
    rows.push({ node, level, name: node.id.split('/').at(-1) ?? node.id, parent, position, siblings })
    node.children.forEach((child, index) => walk(child, level + 1, node.id, index + 1, node.children.length))
  }
  walk(root, 0, null, 1, 1)
  return rows
}

/** Rows that no folded group hides. */
export function unfolded(rows: Row[], folded: ReadonlySet<string>): Row[] {
  const hidden = new Set<string>()
  return rows.filter((row) => {
    const away = row.parent !== null && (folded.has(row.parent) || hidden.has(row.parent))
    if (away) hidden.add(row.node.id)
    return !away
  })
}

export interface Look {
  atMs: number
  rows: Row[]
}

export interface Movement {
  /** Messages handled per second since the look before; null on the first look or after a restart. */
  perSecond: number | null
  /** State, restarts, dead letters or abandoned threads are not what they were. */
  changed: boolean
}

export function movements(before: Look | null, now: Look): Map<string, Movement> {
  const earlier = new Map(before?.rows.map((row) => [row.node.id, row.node]))
  const seconds = before ? (now.atMs - before.atMs) / 1000 : 0
  return new Map(
    now.rows.map(({ node }) => {
      const was = earlier.get(node.id)
      const handled = was ? node.processed - was.processed : -1
      return [
        node.id,
        {
          perSecond: seconds > 0 && handled >= 0 ? handled / seconds : null,
          changed:
            before !== null &&
            (!was ||
              was.state !== node.state ||
              was.restarts !== node.restarts ||
              was.dead_letters !== node.dead_letters ||
              was.zombies !== node.zombies ||
              was.epoch !== node.epoch),
        },
      ]
    }),
  )
}

/** A change is marked this long, however often the tree is looked at meanwhile. */
export const markedMs = 10_000

/** When each row changed, with what the last look found: what is marked no more is forgotten. */
export function changedAt(
  known: ReadonlyMap<string, number>,
  moved: ReadonlyMap<string, Movement>,
  atMs: number,
): Map<string, number> {
  const still = [...known].filter(([, at]) => atMs - at < markedMs)
  const found = [...moved].filter(([, { changed }]) => changed).map(([id]) => [id, atMs] as const)
  return new Map([...still, ...found])
}

export type Tone = 'ok' | 'warn' | 'bad' | 'info' | 'idle'

export function toneOf(state: string): Tone {
  switch (state) {
    case 'running':
      return 'ok'
    case 'starting':
    case 'draining':
    case 'stopping':
      return 'info'
    case 'backing_off':
      return 'warn'
    case 'failed':
      return 'bad'
    default:
      return 'idle'
  }
}

/** What the whole tree is like: its worst actor. */
export function worst(rows: Row[]): Tone {
  const order: Tone[] = ['bad', 'warn', 'info', 'ok', 'idle']
  const tones = new Set(rows.filter((row) => row.node.kind === 'actor').map((row) => toneOf(row.node.state)))
  return order.find((tone) => tones.has(tone)) ?? 'idle'
}
