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

/** Watches every query's outcome; the shell calls it once. */
export function watchReachability(): void {
  const stop = useQueryClient()
    .getQueryCache()
    .subscribe((event) => {
      if (event.type !== 'updated') return
      if (event.action.type === 'success') {
        lastAnswerAt.value = Date.now()
        unreachableSince.value = null
      } else if (event.action.type === 'error' || event.action.type === 'failed') {
        const failure = event.action.error
        if (failure instanceof Problem && failure.isUnreachable) {
          unreachableSince.value ??= lastAnswerAt.value ?? Date.now()
        }
      }
    })
  onScopeDispose(stop)
}
