// What covers the whole page, as a drawer does on a phone: the page rests as long, or its parts would take the focus where
// nobody sees it. Messages stay in reach.
import { computed, onScopeDispose, ref, watch } from 'vue'

const many = ref(0)
export const isPageCovered = computed(() => many.value > 0)

export function useCovering(covers: () => boolean): void {
  let counted = false
  function count(now: boolean) {
    if (now !== counted) many.value += now ? 1 : -1
    counted = now
  }
  // Once it stands, so that it knows where the focus came from.
  watch(covers, count, { immediate: true, flush: 'post' })
  onScopeDispose(() => count(false))
}
