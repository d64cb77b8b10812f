import { expect, it } from 'vitest'
import { paceOf } from './pace'

const [from, to] = ['2026-01-01T00:00:00Z', '2026-01-11T00:00:00Z']
it.each([
  ['goes on as it went', [1_000, 400, 200], { left: 600, usedShare: 0.4, daysLeft: 30 }],
  ['has no end when nothing is used', [1_000, 400, 0], { left: 600, usedShare: 0.4, daysLeft: null }],
  ['is over when it is over, also by more than all', [1_000, 1_100, 200], { left: 0, usedShare: 1.1, daysLeft: null }],
  ['of nothing is used up', [0, 0, 0], { left: 0, usedShare: 1, daysLeft: null }],
] as const)('a quota %s', (_, [quota, used, lately], pace) =>
  expect(paceOf(quota, used, lately, from, to)).toEqual(pace),
)

it('a range without length says nothing of the pace', () => expect(paceOf(10, 1, 1, from, from).daysLeft).toBeNull())
