import { describe, expect, it } from 'vitest'
import { changedAt, markedMs, movements, rowsOf, type TreeNode, unfolded, worst } from './tree'

const node = (id: string, more: Partial<TreeNode> = {}): TreeNode => ({
  id,
  kind: 'actor',
  state: 'running',
  depth: 0,
  capacity: 64,
  processed: 0,
  rejected: 0,
  restarts: 0,
  dead_letters: 0,
  zombies: 0,
  epoch: 1,
  last_exit: null,
  p50_us: 0,
  p99_us: 0,
  children: [],
  ...more,
})
const group = (id: string, ...children: TreeNode[]): TreeNode => node(id, { kind: 'group', children })

const writer = (more: Partial<TreeNode> = {}) =>
  group('root', group('root/ledger', node('root/ledger/batch_writer', more)), group('root/upkeep'))

describe('the tree as rows', () => {
  it('lists depth first with level, name and place', () => {
    expect(rowsOf(writer()).map((row) => [row.level, row.name, row.position, row.siblings])).toEqual([
      [0, 'root', 1, 1],
      [1, 'ledger', 1, 2],
      [2, 'batch_writer', 1, 1],
      [1, 'upkeep', 2, 2],
    ])
  })

  it('hides what lies below a folded group, at any depth', () => {
    const rows = rowsOf(writer())
    expect(unfolded(rows, new Set(['root/ledger'])).map((row) => row.name)).toEqual(['root', 'ledger', 'upkeep'])
    expect(unfolded(rows, new Set(['root'])).map((row) => row.name)).toEqual(['root'])
  })

  it('is as good as its worst actor; groups do not count', () => {
    expect(worst(rowsOf(writer()))).toBe('ok')
    expect(worst(rowsOf(writer({ state: 'backing_off' })))).toBe('warn')
    expect(worst(rowsOf(writer({ state: 'failed' })))).toBe('bad')
    expect(worst(rowsOf(group('root')))).toBe('idle')
  })
})

describe('movement between two looks', () => {
  const id = 'root/ledger/batch_writer'
  const look = (atMs: number, more: Partial<TreeNode>) => ({ atMs, rows: rowsOf(writer(more)) })

  it('knows nothing on the first look', () => {
    expect(movements(null, look(0, {})).get(id)).toEqual({ perSecond: null, changed: false })
  })

  it('is messages per second', () => {
    const moved = movements(look(1_000, { processed: 100 }), look(6_000, { processed: 150 })).get(id)
    expect(moved).toEqual({ perSecond: 10, changed: false })
  })

  it('claims no rate when a counter fell back', () => {
    const moved = movements(look(0, { processed: 100 }), look(1_000, { processed: 3, epoch: 2 })).get(id)
    expect(moved).toEqual({ perSecond: null, changed: true })
  })

  it.each([{ state: 'backing_off' }, { restarts: 1 }, { dead_letters: 1 }, { zombies: 1 }])(
    'marks what changed: %o',
    (change) => {
      expect(movements(look(0, {}), look(1_000, change)).get(id)?.changed).toBe(true)
    },
  )

  it('marks a change for a while, however often it is looked at, and then no more', () => {
    const quiet = movements(look(0, {}), look(1_000, {}))
    const noted = changedAt(new Map(), movements(look(0, {}), look(1_000, { restarts: 1 })), 1_000)
    expect([...changedAt(noted, quiet, 2_000)]).toEqual([[id, 1_000]])
    expect([...changedAt(noted, quiet, 1_000 + markedMs)]).toEqual([])
  })
})
