// A page's filters, kept in its URL, so that Back restores them and an address can be sent to a colleague.
import { computed } from 'vue'
import { type LocationQueryRaw, useRoute, useRouter } from 'vue-router'
import type { Choices } from './choices'

export interface FilterSpec {
  /** The query parameter, in the URL and at the server. */
  key: string
  label: string
  kind: 'text' | 'select' | 'choice' | 'number' | 'boolean'
  options?: readonly { value: string; label: string }[]
  /** Of more than `options` can hold. */
  choices?: Choices
  placeholder?: string
  /** How a value is shown on its chip. */
  shown?: (value: string) => string
}

export function useFilters(specs: () => readonly FilterSpec[]) {
  const route = useRoute()
  const router = useRouter()
  const keys = computed(() => [...specs().map((spec) => spec.key), 'q'])
  const values = computed<Record<string, string>>(() => {
    const found: Record<string, string> = {}
    for (const key of keys.value) {
      const value = route.query[key]
      if (typeof value === 'string' && value !== '') found[key] = value
    }
    return found
  })
  const go = (query: LocationQueryRaw, how: 'push' | 'replace' = 'push') => void router[how]({ query })
  return {
    values,
    active: computed(() => Object.keys(values.value).length > 0),
    /** `replace` leaves no step for Back. */
    set(key: string, value: string | null, how: 'push' | 'replace' = 'push') {
      const rest = Object.fromEntries(Object.entries(route.query).filter(([name]) => name !== key))
      go(value === null || value === '' ? rest : { ...rest, [key]: value }, how)
    },
    clear() {
      go(Object.fromEntries(Object.entries(route.query).filter(([key]) => !keys.value.includes(key))))
    },
  }
}
export type Filters = ReturnType<typeof useFilters>
