// One WebSocket for the whole tab: who wants which topic, what was last heard of it, and how to come back after a break.
//
// Pure but for what it is given: a way to get a ticket, a way to dial, timers. What listeners do with the news is
// theirs. A listener hears `gap` whenever something may have passed it by: then it asks the server anew.

/** The connection, as far as this needs it. */
export interface Wire {
  send(text: string): void
  close(): void
}
/** What the connection tells. After `close` it tells nothing more. */
export interface Ears {
  open(): void
  message(text: string): void
  close(code: number): void
}
export interface Surroundings {
  /** A fresh ticket; rejects when there is none to be had. */
  ticket(): Promise<string>
  dial(ticket: string, ears: Ears): Wire
  /** Between 0 and 1. */
  random(): number
}
export interface Listener {
  news(data: unknown): void
  gap(): void
}
/** `waiting`: for the next attempt. */
export type Phase = 'off' | 'connecting' | 'open' | 'waiting'

const firstMs = 1_000
const mostMs = 30_000
/** Silence after which the server is asked for a sign of life, and after which it is given up. */
const quietMs = 20_000
const deadMs = 35_000
/** The server ended the session because standing or role changed: a new ticket tells what still holds. */
const standingChanged = 4401

/** Milliseconds before attempt number `attempt` (from 0): doubling, bounded, never the same for everybody. */
export const pause = (attempt: number, random: number): number =>
  Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 10)) * (0.5 + 0.5 * random)

interface Message {
  op?: string
  topic?: string
  topics?: string[]
  epoch?: number
  seq?: number
  gap?: boolean
  lagged?: number
  data?: unknown
}

export class LiveSocket {
  phase: Phase = 'off'
  private wire: Wire | null = null
  /** Connections that were left may still call: they are of another generation. */
  private generation = 0
  private attempt = 0
  private timer: ReturnType<typeof setTimeout> | undefined
  private pulse: ReturnType<typeof setInterval> | undefined
  private heardAt = 0
  private epoch: number | null = null
  private readonly listeners = new Map<string, Set<Listener>>()
  /** Number of the last message heard, by topic, of this epoch. */
  private readonly seen = new Map<string, number>()
  private readonly accepted = new Set<string>()

  constructor(
    private readonly around: Surroundings,
    private readonly changed: () => void = () => undefined,
  ) {}

  /** Whether news of `topic` are coming in. */
  isOn(topic: string): boolean {
    return this.phase === 'open' && this.accepted.has(topic)
  }
  /** Whether any are. */
  get isLive(): boolean {
    return this.phase === 'open' && this.accepted.size > 0
  }

  start(): void {
    if (this.phase === 'off') void this.connect()
  }
  stop(): void {
    this.hangUp()
    this.attempt = 0
    this.become('off')
  }

  /** Hears of `topic` until the answer is called. */
  subscribe(topic: string, listener: Listener): () => void {
    const all = this.listeners.get(topic) ?? new Set()
    const isFirst = all.size === 0
    all.add(listener)
    this.listeners.set(topic, all)
    // A state is told at once to whoever asks; somebody who joins an open topic asks again.
    if (this.phase === 'open') {
      if (isFirst) this.ask([topic])
      else this.say({ op: 'subscribe', topics: [topic] })
    }
    return () => {
      all.delete(listener)
      if (all.size > 0 || this.listeners.get(topic) !== all) return
      this.listeners.delete(topic)
      this.seen.delete(topic)
      this.accepted.delete(topic)
      if (this.phase === 'open') this.say({ op: 'unsubscribe', topics: [topic] })
      this.changed()
    }
  }

  private async connect(): Promise<void> {
    const mine = ++this.generation
    this.become('connecting')
    let ticket: string
    try {
      ticket = await this.around.ticket()
    } catch {
      if (mine === this.generation) this.later()
      return
    }
    if (mine !== this.generation) return
    const only =
      <T extends unknown[]>(act: (...given: T) => void) =>
      (...given: T) => {
        if (mine === this.generation) act(...given)
      }
    this.wire = this.around.dial(ticket, {
      open: only(() => undefined),
      message: only((text: string) => this.hear(text)),
      close: only((code: number) => this.lost(code)),
    })
    // A connection that never says hello is none.
    this.watch()
  }

  private watch(): void {
    this.heardAt = Date.now()
    clearInterval(this.pulse)
    this.pulse = setInterval(() => {
      const silence = Date.now() - this.heardAt
      if (silence >= deadMs) this.lost(0)
      else if (silence >= quietMs && this.phase === 'open') this.say({ op: 'ping' })
    }, 5_000)
  }

  private hear(text: string): void {
    this.heardAt = Date.now()
    let message: Message
    try {
      message = JSON.parse(text) as Message
    } catch {
      return
    }
    if (message.op === 'hello') this.welcome(message.epoch ?? 0)
    else if (message.op === 'subscribed') {
      for (const topic of message.topics ?? []) {
        if (!this.listeners.has(topic) || this.accepted.has(topic)) continue
        this.accepted.add(topic)
        // What was read before this moment may be older than what is heard from now on.
        if (!this.seen.has(topic)) this.each(topic, (listener) => listener.gap())
      }
      this.changed()
    } else if (message.topic && message.op === undefined) this.pass(message.topic, message)
  }

  private welcome(epoch: number): void {
    if (this.epoch !== epoch) this.seen.clear()
    this.epoch = epoch
    this.attempt = 0
    this.become('open')
    this.ask([...this.listeners.keys()])
  }

  /** Subscribes, from where it was heard last. */
  private ask(topics: string[]): void {
    if (topics.length === 0) return
    const since = Object.fromEntries(
      topics.flatMap((topic) => (this.seen.has(topic) ? [[topic, this.seen.get(topic)]] : [])),
    )
    this.say({ op: 'subscribe', topics, since, epoch: this.epoch })
  }

  private pass(topic: string, message: Message): void {
    if (message.gap || message.lagged !== undefined) {
      if (message.gap) this.seen.delete(topic)
      this.each(topic, (listener) => listener.gap())
      return
    }
    if (message.seq !== undefined) this.seen.set(topic, message.seq)
    this.each(topic, (listener) => listener.news(message.data))
  }

  private each(topic: string, tell: (listener: Listener) => void): void {
    for (const listener of this.listeners.get(topic) ?? []) tell(listener)
  }

  private lost(code: number): void {
    this.hangUp()
    if (code === standingChanged && this.attempt === 0) {
      this.attempt = 1
      void this.connect()
    } else this.later()
  }

  private later(): void {
    const wait = pause(this.attempt++, this.around.random())
    this.timer = setTimeout(() => void this.connect(), wait)
    this.become('waiting')
  }

  private hangUp(): void {
    this.generation++
    clearTimeout(this.timer)
    clearInterval(this.pulse)
    this.accepted.clear()
    this.wire?.close()
    this.wire = null
  }

  private say(message: unknown): void {
    this.wire?.send(JSON.stringify(message))
  }

  private become(phase: Phase): void {
    this.phase = phase
    this.changed()
  }
}
