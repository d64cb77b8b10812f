import { afterEach, describe, expect, it } from 'vitest'
import { setLocale } from '@/i18n'
import {
  formatBytes,
  formatCompact,
  formatMicros,
  formatMoment,
  formatMs,
  formatNumber,
  formatPercent,
  formatRelative,
  none,
} from './format'

afterEach(() => setLocale('en'))
const now = Date.parse('2026-03-04T12:00:00Z')
const ago = (seconds: number) => formatRelative(now - seconds * 1000, now)

describe('figures', () => {
  it('unknown is a dash, nought is a number', () => {
    for (const format of [formatNumber, formatCompact, formatPercent, formatMs, formatMicros, formatBytes]) {
      expect(format(null)).toBe(none)
      expect(format(undefined)).toBe(none)
      expect(format(0)).toMatch(/^0/)
    }
  })

  it('are written as the language does', () => {
    expect([formatNumber(12345.6), formatCompact(12345), formatPercent(0.9956)]).toEqual(['12,346', '12.3K', '99.6%'])
    setLocale('zh-CN')
    expect([12_345, 195_400_000].map(formatCompact)).toEqual(['1.23万', '1.95亿'])
  })

  it('durations have the unit a person would choose', () => {
    const written = [1.24, 999, 1_000, 59_999, 60_000, 200_400, 3_600_000, 7_260_000].map(formatMs)
    expect(written).toEqual(['1.2 ms', '999 ms', '1 s', '60 s', '1 min 0 s', '3 min 20 s', '1 h 0 min', '2 h 1 min'])
    expect([formatMicros(999), formatMicros(1_500)]).toEqual(['999 µs', '1.5 ms'])
  })

  it('bytes are in powers of 1024', () => {
    expect([1023, 1024, 1536, 20 * 1024 ** 2].map(formatBytes)).toEqual(['1,023 B', '1 KiB', '1.5 KiB', '20 MiB'])
  })
})

describe('moments', () => {
  it('are told relative to now, in both directions', () => {
    expect(ago(5)).toBe('5 sec. ago')
    expect(ago(3 * 60 + 59)).toBe('3 min. ago')
    expect(ago(2 * 3600)).toBe('2 hr. ago')
    expect(ago(86_400)).toBe('yesterday')
    expect(ago(-2 * 86_400)).toBe('in 2 days')
    expect(ago(70 * 86_400)).toBe('2 mo. ago')
    expect(ago(800 * 86_400)).toBe('2 yr. ago')
    setLocale('zh-CN')
    expect(ago(3 * 60)).toBe('3分钟前')
  })

  it('say the day only when it is another', () => {
    expect(formatMoment(now, now)).toMatch(/^\d\d:\d\d:\d\d$/)
    expect(formatMoment(now - 3 * 86_400_000, now)).toMatch(/^Mar 1, \d\d:\d\d$/)
  })
})
