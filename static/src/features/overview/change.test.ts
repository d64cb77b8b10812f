import { describe, expect, it } from 'vitest'
import { bucketLabel, change } from './change'

describe('change to the period before', () => {
  it('is relative', () => expect(change(110, 100)).toBeCloseTo(0.1))
  it('can be a fall', () => expect(change(50, 100)).toBeCloseTo(-0.5))
  it.each([
    [5, 0],
    [5, null],
    [null, 5],
  ])('is unknown from %s against %s', (now, before) => expect(change(now, before)).toBeNull())
})

describe('the label of a bucket', () => {
  it('is in the zone of the statistics', () => {
    expect(bucketLabel('2026-03-01T23:00:00Z', 'hour', 'en', 'Europe/Berlin')).toContain('Mar 2')
    expect(bucketLabel('2026-03-01T23:00:00Z', 'day', 'en', 'UTC')).toBe('Mar 1')
  })
})
