import { describe, expect, it } from 'vitest'
import type { Channel } from './channel'
import { isHeldBy, stateOf, tellsOf } from './undelivered'

describe('a notice that nobody got', () => {
  it.each([
    ['alert', 'resolved', 'resolved'],
    ['alert', 'flapping', 'flapping'],
    // It cannot be read, or the console is older than the server.
    ['alert', null, 'alert'],
    ['alert', 'postponed', 'alert'],
    ['report', null, 'report'],
  ])('of kind %s and event %s tells %s', (kind, event, told) => expect(tellsOf({ kind, event })).toBe(told))

  it('was given up, unless it cannot be read', () => {
    expect(stateOf({ state: 'quarantined' }).word).toBe('quarantined')
    expect(['given_up', 'lost'].map((state) => stateOf({ state }).word)).toEqual(['given_up', 'given_up'])
  })

  it('only waits at a channel that takes nothing', () => {
    const channels = [
      { id: 'works', enabled: true },
      { id: 'off', enabled: false },
      { id: 'gone', enabled: true, disabled_reason: 'answered 410' },
    ] as Channel[]
    const held = ['works', 'off', 'gone', 'deleted', null].map((id) => isHeldBy(id, channels))
    expect(held).toEqual([false, true, true, false, false])
  })
})
