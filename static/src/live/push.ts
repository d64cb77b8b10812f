// The tab's socket and its listeners: what the server says as it happens, as long as the page is looked at.
import { useDocumentVisibility, useThrottleFn } from '@vueuse/core'
import { computed, onScopeDispose, ref, watch } from 'vue'
import { answer, api } from '@/api/client'
import { useSession } from '@/session'
import { LiveSocket } from './socket'
import type { News, Topic } from './topics'

/** Counts the socket's changes, so that what is computed of it is computed again. */
const changes = ref(0)
const socket = new LiveSocket(
  {
    ticket: async () => (await answer(api.POST('/api/v1/auth/ws-ticket'))).ticket,
    dial: (ticket, ears) => {
      const url = new URL(`/api/v1/ws?ticket=${encodeURIComponent(ticket)}`, location.href)
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
      const wire = new WebSocket(url)
      wire.addEventListener('open', () => ears.open())
      wire.addEventListener('message', (event) => ears.message(String(event.data)))
      wire.addEventListener('close', (event) => ears.close(event.code))
      return {
        send: (text) => {
          if (wire.readyState === WebSocket.OPEN) wire.send(text)
        },
        close: () => wire.close(),
      }
    },
    random: Math.random,
  },
  () => changes.value++,
)

/** A tab that nobody looks at is left alone after this long; coming back, it hears what it missed. */
const leaveAfterMs = 60_000

/** Whether anything is pushed at all. */
export const isPushed = computed(() => changes.value >= 0 && socket.isLive)
export const isTopicPushed = (topic: Topic): boolean => changes.value >= 0 && socket.isOn(topic)

/** Keeps the socket open while somebody is signed in and looks; the shell calls it once. */
export function keepConnected(paused: () => boolean): void {
  const session = useSession()
  const visibility = useDocumentVisibility()
  let leaving: ReturnType<typeof setTimeout> | undefined
  watch(
    () => [session.state === 'in' && !paused(), visibility.value === 'visible'] as const,
    ([wanted, seen]) => {
      clearTimeout(leaving)
      if (!wanted) socket.stop()
      else if (seen) socket.start()
      else leaving = setTimeout(() => socket.stop(), leaveAfterMs)
    },
    { immediate: true },
  )
  onScopeDispose(() => {
    clearTimeout(leaving)
    socket.stop()
  })
}

/** Hears of a topic while the component lives. `gap`: something may have been missed, ask the server. */
export function onNews<T extends Topic>(
  topic: T | (() => T),
  hear: { news: (data: News[T]) => void; gap?: () => void; when?: () => boolean },
): void {
  let leave: (() => void) | null = null
  watch(
    () => ((hear.when?.() ?? true) ? (typeof topic === 'function' ? topic() : topic) : null),
    (wanted) => {
      leave?.()
      leave = wanted
        ? socket.subscribe(wanted, { news: (data) => hear.news(data as News[T]), gap: () => hear.gap?.() })
        : null
    },
    { immediate: true },
  )
  onScopeDispose(() => leave?.())
}

/** The same for those who ask the server anyway: that something happened is enough, and not more often than `everyMs`. */
export function onAnyNews(topic: Topic | (() => Topic), everyMs: number, act: () => void, when?: () => boolean): void {
  const seldom = useThrottleFn(act, everyMs, true, true)
  onNews(topic, { news: () => void seldom(), gap: () => void seldom(), when })
}
