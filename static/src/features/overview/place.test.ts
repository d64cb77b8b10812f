import { describe, expect, it } from 'vitest'
import { rangeWith } from './place'

const now = Date.parse('2026-03-15T18:30:00Z')
const place = (at: string, chosen: object) => rangeWith(at, chosen, now, 'Asia/Shanghai')

describe('a line of the log', () => {
  it.each([
    ['2026-03-15T18:00:00Z', { range: '1h' }],
    ['2026-03-15T16:00:00Z', { range: 'today' }],
    ['2026-03-02T00:00:00Z', { from: '2026-03-01' }],
  ])('at %s is among those of %o', (at, chosen) => expect(place(at, chosen)).toEqual({}))
  it.each([
    ['2026-03-15T17:00:00Z', { range: '1h' }],
    // The day before, in the server's zone.
    ['2026-03-15T15:59:00Z', { range: 'today' }],
    ['2026-03-15T18:00:00Z', { from: '2026-03-01', to: '2026-03-02T00:00:00Z' }],
    ['2026-03-15T18:00:00Z', { range: 'of another console' }],
  ])('at %s is not, and is asked for otherwise than %o', (at, chosen) =>
    expect(place(at, chosen)).toEqual({ from: at }),
  )
})
