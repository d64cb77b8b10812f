import { describe, expect, it } from 'vitest'
import { bucketLabel, change, comparable, goesOn, grainOf, isToday } from './trend'

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

describe('what goes on', () => {
  const now = Date.parse('2026-03-01T23:30:00Z')
  it.each([
    ['2026-03-02T00:00:00Z', true],
    ['2026-03-01T23:30:00Z', false],
    ['2026-03-01T00:00:00Z', false],
    [undefined, false],
  ])('a bucket that ends at %s: %s', (to, expected) => expect(goesOn(to, now)).toBe(expected))

  it.each([
    ['2026-03-01', 'UTC', true],
    ['2026-03-02', 'UTC', false],
    ['2026-03-02', 'Asia/Shanghai', true],
    ['2026-03-01', 'Asia/Shanghai', false],
    [undefined, 'UTC', false],
  ])('%s is today in %s: %s', (date, zone, expected) => expect(isToday(date, zone, now)).toBe(expected))
})

describe('how long buckets are', () => {
  const now = Date.parse('2026-03-20T12:00:00Z')
  it.each([
    [{ range: '24h' }, 'hour'],
    [{ range: '7d' }, 'hour'],
    [{ range: '30d' }, 'day'],
    [{ range: 'today' }, 'hour'],
    [{ range: 'this_month' }, 'day'],
    [{ from: '2026-03-01T00:00:00Z', to: '2026-03-02T00:00:00Z' }, 'hour'],
    [{ from: '2026-03-01T00:00:00Z' }, 'day'],
    [{ from: 'not a time' }, 'hour'],
  ])('%o: %s', (range, grain) => expect(grainOf(range, now)).toBe(grain))
})

describe('the stretch before', () => {
  const counted = (from: string, to: string, request_count: number) => ({
    from,
    to,
    request_count,
    cost: '12',
    success_rate: 0.9,
    p95_duration_ms: 800,
  })
  it('is told as if it had lasted as long', () => {
    // A day and a half, against two whole days.
    const overview = {
      ...counted('2026-03-03T00:00:00Z', '2026-03-04T12:00:00Z', 300),
      previous: counted('2026-03-01T00:00:00Z', '2026-03-03T00:00:00Z', 400),
    }
    expect(comparable(overview)).toMatchObject({
      request_count: 300,
      cost: '9',
      success_rate: 0.9,
      p95_duration_ms: 800,
    })
  })
  it('is what it is when it lasted as long, and nothing before anything is known', () => {
    const overview = {
      ...counted('2026-03-02T00:00:00Z', '2026-03-03T00:00:00Z', 300),
      previous: counted('2026-03-01T00:00:00Z', '2026-03-02T00:00:00Z', 400),
    }
    expect(comparable(overview)).toBe(overview.previous)
    expect(comparable(undefined)).toBeNull()
  })
})
