// What covers the page, whole as a drawer does on a phone, or in part as it does elsewhere: what lies under it rests as long,
// or it would take the focus where nobody sees it. Messages stay in reach.
import { useEventListener } from '@vueuse/core'
import { computed, onScopeDispose, ref, watch } from 'vue'
import { isTyping } from './useShortcuts'

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

const stops = 'a[href], button, input, select, textarea, summary, [tabindex]'

/**
 * While `cover` says which element stands at the page's right edge, its whole height long, what lies under it entirely is
 * no stop on the keyboard's way. Looked at before a key acts: where things lie changes with the window and with what comes
 * into the page.
 */
export function useBeside(cover: () => HTMLElement | null | undefined, open: () => boolean): void {
  const resting = new Set<Element>()
  function wake() {
    for (const element of resting) element.removeAttribute('inert')
    resting.clear()
  }
  function look() {
    wake()
    const edge = open() ? cover()?.getBoundingClientRect().left : undefined
    if (!edge) return
    for (const element of document.querySelectorAll(`main :is(${stops})`)) {
      const { left, width } = element.getBoundingClientRect()
      if (width === 0 || left < edge || element.hasAttribute('inert')) continue
      element.setAttribute('inert', '')
      resting.add(element)
    }
  }
  // Of the keys that are pressed in a field only Tab leads out of it.
  const mayMove = (event: KeyboardEvent) => event.key === 'Tab' || !isTyping(event)
  useEventListener(document, 'keydown', (event) => mayMove(event) && look(), { capture: true })
  // At once, or the focus could not go back to where it came from.
  watch(open, wake, { flush: 'sync' })
  onScopeDispose(wake)
}
