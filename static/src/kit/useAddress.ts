// What a page says of itself in its address without a step for Back: its time range, how its tables look. Several parts
// of one page write to one address: one after the other, or one would take away what the other wrote.
import { onScopeDispose } from 'vue'
import { type LocationQueryRaw, useRouter } from 'vue-router'

let written: Promise<unknown> = Promise.resolve()

export function useAddress() {
  const router = useRouter()
  // Whoever is about to leave is not held back.
  let isLeaving = false
  onScopeDispose(router.beforeEach((to, from) => void (isLeaving = to.matched.at(-1) !== from.matched.at(-1))))
  // Nor is one who was held back still leaving.
  onScopeDispose(router.afterEach((_to, _from, failure) => void (isLeaving &&= !failure)))
  /** What is to be said is asked when its turn has come; where that is nothing, nothing is written. */
  return function write(what: () => LocationQueryRaw) {
    const next = async () => {
      const said = isLeaving ? {} : what()
      if (Object.keys(said).length === 0) return
      await router.replace({ query: { ...router.currentRoute.value.query, ...said } })
    }
    written = written.then(next).catch(() => undefined)
  }
}
