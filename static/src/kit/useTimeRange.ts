// One time range for all pages: what the address says, else what was last chosen in this tab. A page that shows another
// range than the usual one says so in its address, so that one that is copied shows the same to whoever opens it.
import { useSessionStorage } from '@vueuse/core'
import { computed, watch } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { useShellText } from '@/i18n'
import { formatTime } from './format'
import { useAddress } from './useAddress'

export const presets = ['1h', '24h', '7d', '30d', '90d', 'today', 'this_month'] as const
export type Preset = (typeof presets)[number]
export interface Range {
  range?: string
  from?: string
  to?: string
}
/** What an address that says none shows. */
const usual: Range = { range: '24h' }
const isUsual = (range: Range) => JSON.stringify(range) === JSON.stringify(usual)

const kept = 'steward.range'
// An address that was entered, or followed from elsewhere, says all there is, whatever was chosen in this tab before.
const [arrival] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
if (arrival?.type === 'navigate') sessionStorage.removeItem(kept)

const one = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)

/** What the URL says, or null when it says nothing. A custom range needs its beginning. */
export function rangeOf(query: Record<string, unknown>): Range | null {
  const [range, from, to] = [one(query.range), one(query.from), one(query.to)]
  if (from) return to ? { from, to } : { from }
  return range ? { range } : null
}

/** `isShown`: the page shows numbers or rows of it, and says which; the menu that only chooses it does not. */
export function useTimeRange({ isShown = true } = {}) {
  const route = useRoute()
  const router = useRouter()
  const t = useShellText()
  const chosen = useSessionStorage<Range>(kept, { ...usual })
  const query = computed<Range>(() => rangeOf(route.query) ?? chosen.value)
  // What an address says, of a colleague or by Back, holds on the next page as well.
  watch(
    () => rangeOf(route.query),
    (said) => said && (chosen.value = said),
    { immediate: true },
  )
  if (isShown) say()
  function say() {
    const write = useAddress()
    /** One that leads on is one that was left: what it says nothing of was the usual range. */
    const isComeBackTo = () => Boolean(router.options.history.state.forward)
    watch(
      () => rangeOf(route.query) === null && !isUsual(chosen.value),
      (isSilent) => {
        if (!isSilent) return
        if (isComeBackTo()) chosen.value = { ...usual }
        // Several parts of a page show it; the first one says it for all.
        else write(() => (rangeOf(router.currentRoute.value.query) ? {} : { ...query.value }))
      },
      { immediate: true },
    )
  }
  const label = computed(() => {
    const { range, from, to } = query.value
    if (!from)
      return (presets as readonly string[]).includes(range ?? '') ? t(`range.${range as Preset}`) : (range ?? '')
    return `${formatTime(from)} – ${to ? formatTime(to) : t('range.now')}`
  })
  async function set(next: Range) {
    // Back is to lead to what is shown now, which the address may not say.
    if (!rangeOf(route.query)) await router.replace({ query: { ...route.query, ...query.value } })
    const rest = Object.fromEntries(
      Object.entries(route.query).filter(([name]) => !['range', 'from', 'to'].includes(name)),
    )
    await router.push({ query: { ...rest, ...next } })
  }
  return { query, label, set }
}
