// How fresh the page is: pushed where the server pushes, else every live query asks again at the chosen interval, none
// in a hidden tab or while paused.
import { useQueryClient } from '@tanstack/vue-query'
import { useDocumentVisibility } from '@vueuse/core'
import { computed, onScopeDispose, ref } from 'vue'
import { Problem } from '@/api/problem'
import { usePreferences } from '@/preferences'
import { isPushed, isTopicPushed } from './push'
import type { Topic } from './topics'

const paused = ref(false)
/** When an answer last came, and whether the server was out of reach since. */
const lastAnswerAt = ref<number | null>(null)
const unreachableSince = ref<number | null>(null)

export function useLive() {
  const preferences = usePreferences()
  const visibility = useDocumentVisibility()
  const interval = computed<number | false>(() =>
    paused.value || visibility.value === 'hidden' ? false : preferences.pollingMs,
  )
  const state = computed<'live' | 'polling' | 'paused' | 'stale'>(() => {
    if (unreachableSince.value !== null) return 'stale'
    if (paused.value) return 'paused'
    return isPushed.value ? 'live' : 'polling'
  })
  /** For a query that is kept fresh by news of `topic`: asked again only while they do not come. */
  const unless = (topic: Topic) => computed(() => (isTopicPushed(topic) ? false : interval.value))
  return { interval, unless, state, paused, lastAnswerAt, unreachableSince }
}

function answered() {
  lastAnswerAt.value = Date.now()
  unreachableSince.value = null
}
function failed(cause: unknown) {
  if (cause instanceof Problem && cause.isUnreachable) unreachableSince.value ??= lastAnswerAt.value ?? Date.now()
}

/** Watches every query's outcome; the shell calls it once. */
export function watchReachability(): void {
  const stop = useQueryClient()
    .getQueryCache()
    .subscribe((event) => {
      if (event.type !== 'updated') return
      if (event.action.type === 'success') answered()
      else if (event.action.type === 'error' || event.action.type === 'failed') failed(event.action.error)
    })
  onScopeDispose(stop)
}

/** The same for what is asked without a query, such as a list that is fetched as one scrolls. */
export async function watched<T>(asked: Promise<T>): Promise<T> {
  try {
    const answer = await asked
    answered()
    return answer
  } catch (cause) {
    failed(cause)
    throw cause
  }
}
