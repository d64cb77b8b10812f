// Editing one record that others may edit too: saved with the ETag of what was shown. When somebody came first
// (412), their version is fetched and shown, and the next save goes against that one.
import { computed, ref, shallowRef } from 'vue'
import { Problem } from '@/api/problem'

export interface Tagged<T> {
  data: T
  etag: string
}

export function useEdit<T, C>(work: {
  fetch: () => Promise<Tagged<T>>
  save: (changes: C, etag: string) => Promise<unknown>
}) {
  /** What is shown, with its ETag. */
  const base = shallowRef<Tagged<T> | null>(null)
  const theirs = shallowRef<Tagged<T> | null>(null)
  const problem = shallowRef<Problem | null>(null)
  const busy = ref(false)

  let loads = 0

  /**
   * What was found; null when nothing was, and when something else was asked for meanwhile: an answer that comes late is
   * another record's.
   */
  async function load(): Promise<T | null> {
    const mine = ++loads
    problem.value = null
    theirs.value = null
    try {
      const found = await work.fetch()
      if (mine !== loads) return null
      base.value = found
      return found.data
    } catch (cause) {
      if (mine === loads) problem.value = Problem.from(cause)
      return null
    }
  }
  /** True when it was saved. */
  async function save(changes: C): Promise<boolean> {
    const against = theirs.value ?? base.value
    if (!against) return false
    busy.value = true
    problem.value = null
    try {
      await work.save(changes, against.etag)
      return true
    } catch (cause) {
      const failure = Problem.from(cause)
      if (failure.isConflictingEdit) theirs.value = await work.fetch().catch(() => null)
      if (!failure.isConflictingEdit || !theirs.value) problem.value = failure
      return false
    } finally {
      busy.value = false
    }
  }
  /** Their version becomes the one that is shown. */
  function takeTheirs(): T | null {
    base.value = theirs.value ?? base.value
    theirs.value = null
    return base.value?.data ?? null
  }
  return { base, theirs, conflict: computed(() => theirs.value !== null), problem, busy, load, save, takeTheirs }
}
