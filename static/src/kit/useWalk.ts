// The record that is open beside its list: where it stands there, and the way to those next to it.
import { computed, type Ref } from 'vue'
import { useShellText } from '@/i18n'
import { formatNumber } from './format'

/** A list that is fetched as one scrolls (`useCursorList`), or `walkable` rows. */
export interface Walkable<T> {
  count: Readonly<Ref<number>>
  at: (index: number) => T | undefined
  /** Rows `first..=last` are looked at next. */
  need?: (first: number, last: number) => void
  total?: Readonly<Ref<number | null>>
  totalIsExact?: Readonly<Ref<boolean>>
  hasMore?: Readonly<Ref<boolean>>
  /** The rows stay where they are as long as this says so. */
  holdWhile?: (is: () => boolean) => void
}

/** What a drawer is told of it. */
export interface Walk {
  /** “3 of 120”; nothing while the record is not among the rows that are known. */
  position?: string
  hasPrevious: boolean
  hasNext: boolean
  step: (by: 1 | -1) => void
}

/** Rows that are all here. */
export const walkable = <T>(rows: () => readonly T[]): Walkable<T> => ({
  count: computed(() => rows().length),
  at: (index) => rows()[index],
})

export function useWalk<T>(
  list: Walkable<T>,
  keyOf: (row: T) => string,
  selected: () => string | null,
  open: (key: string) => unknown,
) {
  const t = useShellText()
  // On a list that moves, the record would soon be nowhere, and its neighbours others with every step.
  list.holdWhile?.(() => selected() !== null)
  /** Where it stood last: looked at first, since one goes from neighbour to neighbour. */
  let last = -1
  // Found anew whenever the list changes: newer rows come above it, and rows far away are forgotten.
  const place = computed(() => {
    const key = selected()
    if (key === null) return (last = -1)
    const stands = (index: number) => {
      const row = list.at(index)
      return row !== undefined && keyOf(row) === key
    }
    for (const near of [last, last + 1, last - 1]) if (near >= 0 && stands(near)) return (last = near)
    for (let index = 0; index < list.count.value; index++) if (stands(index)) return (last = index)
    return (last = -1)
  })
  const told = computed(() => {
    const total = list.total?.value
    return total == null
      ? `${formatNumber(list.count.value)}${list.hasMore?.value ? '+' : ''}`
      : `${formatNumber(total)}${list.totalIsExact?.value === false ? '+' : ''}`
  })
  const beside = (by: 1 | -1) => (place.value < 0 ? undefined : list.at(place.value + by))
  return computed<Walk>(() => ({
    position:
      place.value < 0 ? undefined : t('drawer.position', { at: formatNumber(place.value + 1), total: told.value }),
    hasPrevious: beside(-1) !== undefined,
    hasNext: beside(1) !== undefined,
    step(by) {
      const row = beside(by)
      if (row === undefined) return
      const to = place.value + by
      list.need?.(Math.max(0, to - 5), to + 25)
      void open(keyOf(row))
    },
  }))
}
