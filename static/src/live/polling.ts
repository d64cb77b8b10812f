// How fresh the page is: every live query asks again at the chosen interval, none in a hidden tab or while paused.
import { useQueryClient } from '@tanstack/vue-query'
import { useDocumentVisibility } from '@vueuse/core'
import { computed, onScopeDispose, ref } from 'vue'
import { Problem } from '@/api/problem'
import { usePreferences } from '@/preferences'

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
  const state = computed<'polling' | 'paused' | 'stale'>(() =>
    unreachableSince.value !== null ? 'stale' : paused.value ? 'paused' : 'polling',
  )
  return { interval, state, paused, lastAnswerAt, unreachableSince }
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
