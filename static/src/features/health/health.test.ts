import { describe, expect, it } from 'vitest'
import { barTone, certificateTone, type Component, sorted, toneOf } from './health'

const of = (name: string, kind: string, status: Component['status']): Component =>
  ({ id: `${kind}:${name}`, name, kind, status }) as Component

describe('components', () => {
  it('come with those in front that need somebody', () => {
    const items = [
      of('b', 'account', 'healthy'),
      of('x', 'disk', 'unknown'),
      of('a', 'account', 'healthy'),
      of('jwt', 'jwt', 'degraded'),
      of('database', 'database', 'unhealthy'),
    ]
    expect(sorted(items).map((item) => item.name)).toEqual(['database', 'jwt', 'x', 'a', 'b'])
  })
  it('have a tone for every status', () => {
    expect((['healthy', 'degraded', 'unhealthy', 'unknown'] as const).map(toneOf)).toEqual([
      'ok',
      'warn',
      'bad',
      'idle',
    ])
  })
  it('warn of certificates in time, and of days in which they were down', () => {
    expect([90, 30, 29, 7, 6, -1].map(certificateTone)).toEqual(['ok', 'ok', 'warn', 'warn', 'bad', 'bad'])
    expect([1, 0.999, 0.99, 0.5, null].map(barTone)).toEqual(['ok', 'ok', 'warn', 'bad', 'idle'])
  })
})
