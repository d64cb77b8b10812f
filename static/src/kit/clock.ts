// One clock for every relative time on the page, ticking only while somebody looks.
import { onScopeDispose, type Ref, ref } from 'vue'

export const tickMs = 5_000
const now = ref(Date.now())
let watchers = 0
let timer: ReturnType<typeof setInterval> | undefined

export function useNow(): Readonly<Ref<number>> {
  if (watchers++ === 0) {
    now.value = Date.now()
    timer = setInterval(() => {
      if (!document.hidden) now.value = Date.now()
    }, tickMs)
  }
  onScopeDispose(() => {
    if (--watchers === 0) clearInterval(timer)
  })
  return now
}
