// The code of the pages one may open next, fetched while there is nothing else to do, so that a click paints at once.
// What this does not do: fetch data, or anything at all over a line that is slow or paid by the byte.
import { onScopeDispose } from 'vue'
import type { Router } from 'vue-router'

/** What browsers tell of the line (`navigator.connection`); some tell nothing. */
interface Line {
  saveData?: boolean
  effectiveType?: string
}
const line = (): Line => (navigator as Navigator & { connection?: Line }).connection ?? {}
const isScarce = ({ saveData, effectiveType }: Line) =>
  saveData === true || (effectiveType !== undefined && effectiveType !== '4g')

/** Safari has no idle callback. */
const idle = () =>
  new Promise<void>((wake) =>
    typeof requestIdleCallback === 'function' ? requestIdleCallback(() => wake()) : setTimeout(wake, 200),
  )

/** The code behind a path; `false` when it cannot be had, which is told when the page is opened. */
export async function fetchPage(router: Router, path: string): Promise<boolean> {
  for (const { components } of router.resolve(path).matched) {
    const page = components?.default
    if (typeof page !== 'function') continue
    try {
      await (page as () => unknown)()
    } catch {
      return false
    }
  }
  return true
}

/** One page after the other, each when the browser has nothing to do; the first that cannot be had ends it. */
export async function fetchPagesWhenIdle(router: Router, paths: string[], whenIdle = idle): Promise<void> {
  let wanted = true
  onScopeDispose(() => (wanted = false))
  await router.isReady()
  for (const path of paths) {
    await whenIdle()
    if (!wanted || isScarce(line()) || !(await fetchPage(router, path))) return
  }
}
