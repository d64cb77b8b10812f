// One time range for all pages: in the URL where a page is shared, else what was last chosen in this tab.
import { useSessionStorage } from '@vueuse/core'
import { computed, watch } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import { useShellText } from '@/i18n'
import { formatTime } from './format'

export const presets = ['1h', '24h', '7d', '30d', '90d', 'today', 'this_month'] as const
export type Preset = (typeof presets)[number]
export interface Range {
  range?: string
  from?: string
  to?: string
}

const one = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)

/** What the URL says, or null when it says nothing. A custom range needs its beginning. */
export function rangeOf(query: Record<string, unknown>): Range | null {
  const [range, from, to] = [one(query.range), one(query.from), one(query.to)]
  if (from) return to ? { from, to } : { from }
  return range ? { range } : null
}

export function useTimeRange() {
  const route = useRoute()
  const router = useRouter()
  const t = useShellText()
  const chosen = useSessionStorage<Range>('steward.range', { range: '24h' })
  const query = computed<Range>(() => rangeOf(route.query) ?? chosen.value)
  // What an address says, of a colleague or by Back, holds on the next page as well.
  watch(
    () => rangeOf(route.query),
    (said) => said && (chosen.value = said),
    { immediate: true },
  )
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
