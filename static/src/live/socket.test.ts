import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Ears, LiveSocket, pause } from './socket'

class Server {
  ears: Ears[] = []
  sent: { op: string; topics?: string[]; since?: Record<string, number>; epoch?: number }[] = []
  tickets = 0
  refuses = false
  closed = 0
  around = {
    ticket: async () => {
      this.tickets++
      if (this.refuses) throw new Error('no ticket')
      return `ticket-${this.tickets}`
    },
    dial: (_ticket: string, ears: Ears) => {
      this.ears.push(ears)
      return { send: (text: string) => void this.sent.push(JSON.parse(text)), close: () => void this.closed++ }
    },
    random: () => 1,
  }
  tell(message: unknown) {
    this.ears.at(-1)!.message(JSON.stringify(message))
  }
  hang(code = 1006) {
    this.ears.at(-1)!.close(code)
  }
  accept(epoch = 7, ...topics: string[]) {
    this.tell({ op: 'hello', epoch })
    this.tell({ op: 'subscribed', epoch, topics })
  }
}
const settle = () => vi.advanceTimersByTimeAsync(0)
const listener = () => ({ news: vi.fn(), gap: vi.fn() })

let server: Server
let socket: LiveSocket
beforeEach(() => {
  vi.useFakeTimers()
  server = new Server()
  socket = new LiveSocket(server.around)
})
afterEach(() => {
  socket.stop()
  vi.useRealTimers()
})

describe('the pause before another attempt', () => {
  it('doubles, is bounded, and differs from tab to tab', () => {
    expect([0, 1, 2, 3].map((attempt) => pause(attempt, 1))).toEqual([1_000, 2_000, 4_000, 8_000])
    expect(pause(50, 1)).toBe(30_000)
    expect(pause(3, 0)).toBe(4_000)
  })
})

describe('a connection', () => {
  it('is open once the server said hello, and live once a topic was accepted', async () => {
    const heard = listener()
    socket.subscribe('stats', heard)
    socket.start()
    await settle()
    expect(socket.phase).toBe('connecting')
    server.tell({ op: 'hello', epoch: 7 })
    expect([socket.phase, socket.isLive]).toEqual(['open', false])
    expect(server.sent).toEqual([{ op: 'subscribe', topics: ['stats'], since: {}, epoch: 7 }])
    server.tell({ op: 'subscribed', topics: ['stats'] })
    expect([socket.isLive, socket.isOn('stats'), socket.isOn('jobs')]).toEqual([true, true, false])
    server.tell({ topic: 'stats', epoch: 7, seq: 1, data: { in_flight: 2 } })
    expect(heard.news).toHaveBeenCalledExactlyOnceWith({ in_flight: 2 })
    expect(heard.gap, 'what was read before it listened may be old').toHaveBeenCalledTimes(1)
  })

  it('takes nonsense calmly, and a refused topic as not live', async () => {
    socket.subscribe('stats', listener())
    socket.start()
    await settle()
    for (const text of ['', '{', '[]', '7', '{"topic":7}']) server.ears[0]!.message(text)
    server.tell({ op: 'hello', epoch: 7 })
    server.tell({ op: 'error', code: 'forbidden', topic: 'stats' })
    server.tell({ op: 'subscribed', topics: [] })
    expect([socket.phase, socket.isLive]).toEqual(['open', false])
  })

  it('asks a silent server for a sign of life and gives it up in the end', async () => {
    socket.start()
    await settle()
    server.accept()
    await vi.advanceTimersByTimeAsync(20_000)
    expect(server.sent.at(-1)).toEqual({ op: 'ping' })
    server.tell({ op: 'pong' })
    await vi.advanceTimersByTimeAsync(34_000)
    expect(socket.phase).toBe('open')
    await vi.advanceTimersByTimeAsync(1_000)
    expect([socket.phase, server.closed]).toEqual(['waiting', 1])
  })

  it('that never says hello is given up too', async () => {
    socket.start()
    await settle()
    await vi.advanceTimersByTimeAsync(35_000)
    expect(socket.phase).toBe('waiting')
  })
})

describe('after a break', () => {
  it('comes back more and more slowly, with a new ticket each time', async () => {
    server.refuses = true
    socket.start()
    await settle()
    expect([socket.phase, server.tickets]).toEqual(['waiting', 1])
    await vi.advanceTimersByTimeAsync(1_000)
    expect(server.tickets).toBe(2)
    await vi.advanceTimersByTimeAsync(1_999)
    expect(server.tickets).toBe(2)
    await vi.advanceTimersByTimeAsync(1)
    expect(server.tickets).toBe(3)
    server.refuses = false
    await vi.advanceTimersByTimeAsync(4_000)
    server.accept()
    server.hang()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(server.ears.length, 'patience starts over after a hello').toBe(2)
  })

  it('subscribes from where it was', async () => {
    const heard = listener()
    socket.subscribe('jobs', heard)
    socket.start()
    await settle()
    server.accept(7, 'jobs')
    heard.gap.mockClear()
    server.tell({ topic: 'jobs', epoch: 7, seq: 41, data: 1 })
    server.hang()
    await vi.advanceTimersByTimeAsync(1_000)
    server.accept(7, 'jobs')
    expect(server.sent.at(-1)).toEqual({ op: 'subscribe', topics: ['jobs'], since: { jobs: 41 }, epoch: 7 })
    expect(heard.gap).not.toHaveBeenCalled()
    server.tell({ topic: 'jobs', epoch: 7, gap: true })
    expect(heard.gap).toHaveBeenCalledTimes(1)
    server.tell({ topic: 'jobs', epoch: 7, lagged: 3 })
    expect(heard.gap).toHaveBeenCalledTimes(2)
  })

  it('knows that numbers of another process mean nothing', async () => {
    const [heard, silent] = [listener(), listener()]
    socket.subscribe('jobs', heard)
    socket.subscribe('alerts', silent)
    socket.start()
    await settle()
    server.accept(7, 'jobs', 'alerts')
    for (const one of [heard, silent]) one.gap.mockClear()
    server.tell({ topic: 'jobs', epoch: 7, seq: 41, data: 1 })
    server.hang()
    await vi.advanceTimersByTimeAsync(1_000)
    server.accept(8, 'jobs', 'alerts')
    expect(server.sent.at(-1)).toEqual({ op: 'subscribe', topics: ['jobs', 'alerts'], since: {}, epoch: 8 })
    expect(heard.gap).toHaveBeenCalledTimes(1)
    expect(silent.gap, 'nothing was ever heard of it, and something may have been said').toHaveBeenCalledTimes(1)
  })

  it('asks again at once, but only once, when the session was ended by the server', async () => {
    socket.start()
    await settle()
    server.accept()
    server.hang(4401)
    await settle()
    expect(server.tickets).toBe(2)
    server.hang(4401)
    await settle()
    expect([socket.phase, server.tickets]).toEqual(['waiting', 2])
  })

  it('hears nothing of a connection that was left', async () => {
    const heard = listener()
    socket.subscribe('stats', heard)
    socket.start()
    await settle()
    server.accept(7, 'stats')
    const old = server.ears[0]!
    socket.stop()
    old.message(JSON.stringify({ topic: 'stats', seq: 2, data: 1 }))
    old.close(1006)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(heard.news).not.toHaveBeenCalled()
    expect([socket.phase, server.ears.length]).toEqual(['off', 1])
  })
})

describe('subscribing', () => {
  it('joins an open connection and leaves it with the last listener', async () => {
    socket.start()
    await settle()
    server.accept()
    const leave = socket.subscribe('jobs', listener())
    server.tell({ op: 'subscribed', topics: ['jobs'] })
    const second = socket.subscribe('jobs', listener())
    leave()
    expect(socket.isOn('jobs')).toBe(true)
    second()
    expect(socket.isOn('jobs')).toBe(false)
    expect(server.sent.map((message) => message.op)).toEqual(['subscribe', 'subscribe', 'unsubscribe'])
  })
})
