import { describe, expect, it } from 'vitest'
import { eventsIn } from './runs'

describe('events of a run', () => {
  const stream = 'event: begun\ndata: {"id":"run_1"}\n\nevent: text\ndata: {"text":"a\\n\\nb"}\n\n'

  it('are found in pieces cut anywhere', () => {
    for (let at = 0; at <= stream.length; at++) {
      const first = eventsIn(stream.slice(0, at))
      const second = eventsIn(first.rest + stream.slice(at))
      expect([...first.events, ...second.events]).toEqual([
        { name: 'begun', data: { id: 'run_1' } },
        { name: 'text', data: { text: 'a\n\nb' } },
      ])
      expect(second.rest).toBe('')
    }
  })

  it('without data are passed over', () => {
    expect(eventsIn(': ping\n\nevent: x\n\nrest')).toEqual({ events: [], rest: 'rest' })
  })
})
