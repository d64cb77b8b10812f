import { describe, expect, it } from 'vitest'
import { beganMs, beginningOf } from './zone'

const began = (what: 'day' | 'month', at: string, zone: string) =>
  new Date(beganMs(what, Date.parse(at), zone)).toISOString()

describe('the beginning of a day', () => {
  it.each([
    // 02:30 of the 16th there.
    ['day', '2026-03-15T18:30:00Z', 'Asia/Shanghai', '2026-03-15T16:00:00.000Z'],
    ['month', '2026-03-15T18:30:00Z', 'Asia/Shanghai', '2026-02-28T16:00:00.000Z'],
    ['day', '2026-03-15T03:30:00Z', 'America/Los_Angeles', '2026-03-14T07:00:00.000Z'],
    ['day', '2026-03-15T16:00:00Z', 'Asia/Shanghai', '2026-03-15T16:00:00.000Z'],
    ['day', '2026-03-15T15:59:59Z', 'Asia/Shanghai', '2026-03-14T16:00:00.000Z'],
    ['month', '2026-03-31T23:00:00Z', 'UTC', '2026-03-01T00:00:00.000Z'],
    // Another offset than now: the clock was turned since.
    ['day', '2026-03-29T12:00:00Z', 'Europe/Berlin', '2026-03-28T23:00:00.000Z'],
    ['month', '2026-03-31T12:00:00Z', 'Europe/Berlin', '2026-02-28T23:00:00.000Z'],
    // Turned at midnight: there is none, or there are two.
    ['day', '2026-03-29T12:00:00Z', 'Asia/Beirut', '2026-03-28T22:00:00.000Z'],
    ['day', '2026-11-01T12:00:00Z', 'America/Havana', '2026-11-01T04:00:00.000Z'],
    ['day', '2026-03-15T18:30:00Z', 'Asia/Kathmandu', '2026-03-15T18:15:00.000Z'],
  ] as const)('of the %s at %s in %s', (what, at, zone, expected) => expect(began(what, at, zone)).toBe(expected))
})

it('a named range begins when the server says', () => {
  const now = Date.parse('2026-03-15T18:30:00Z')
  expect(beginningOf('24h', now, 'UTC')).toBe('2026-03-14T18:30:00.000Z')
  // The server's day, which is the 16th already, whatever the browser's is.
  expect(beginningOf('today', now, 'Asia/Shanghai')).toBe('2026-03-15T16:00:00.000Z')
  expect(beginningOf('this_month', now, 'Asia/Shanghai')).toBe('2026-02-28T16:00:00.000Z')
  expect(beginningOf('today', now, 'America/Los_Angeles')).toBe('2026-03-15T07:00:00.000Z')
  expect(beginningOf('today', now, undefined)).toBeUndefined()
  expect(beginningOf('other', now, 'UTC')).toBeUndefined()
})
