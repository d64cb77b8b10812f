// Keys that work anywhere but in a field and under a modal: single ones (`/`, `?`) and sequences (`g r`).
import { useEventListener } from '@vueuse/core'

export function isTyping(event: Event): boolean {
  const target = event.target as HTMLElement | null
  if (!target?.closest) return false
  return (
    target.isContentEditable ||
    target.closest('input:not([type=radio]):not([type=checkbox]), textarea, select') !== null
  )
}

/** The key is the input method's: Enter takes over what it offers. Safari says so by the code alone. */
export const isComposing = (event: KeyboardEvent): boolean => event.isComposing || event.keyCode === 229

/** Something lies over the page that must be answered first. A drawer beside its list is no such thing. */
export const isModalOpen = (): boolean => document.querySelector('[data-modal]') !== null

const sequenceMs = 1_200

export function useShortcuts(keys: () => Record<string, () => void>): void {
  let first: { key: string; at: number } | null = null
  useEventListener(document, 'keydown', (event) => {
    if (isModalOpen() || isTyping(event) || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented)
      return
    const known = keys()
    const pair = first && event.timeStamp - first.at < sequenceMs ? `${first.key} ${event.key}` : null
    first = null
    const run = (pair && known[pair]) || known[event.key]
    if (run) {
      event.preventDefault()
      run()
    } else if (Object.keys(known).some((name) => name.startsWith(`${event.key} `))) {
      first = { key: event.key, at: event.timeStamp }
    }
  })
}
