// Pages by URL under /ops/. A page's filters, sort and time range live in its query, so Back restores them.
import { createRouter, createWebHistory, type Router, type RouterScrollBehavior } from 'vue-router'
import { features } from './features'

/** The address that was loaded anew, once: a page whose code is really missing would reload for ever. */
const retried = 'steward.retried'
const isGone = (cause: unknown) =>
  cause instanceof Error &&
  /dynamically imported module|importing a module script failed|unable to preload/i.test(cause.message)

/** A tab that was open while Steward was upgraded asks for code that is no longer there: it loads the new console. */
export function followUpgrades(router: Router, load = (href: string) => location.assign(href)): void {
  router.onError((cause, to) => {
    const { href } = router.resolve(to)
    if (!isGone(cause) || sessionStorage.getItem(retried) === href) return
    sessionStorage.setItem(retried, href)
    load(href)
  })
  router.afterEach((_to, _from, failure) => {
    if (!failure) sessionStorage.removeItem(retried)
  })
}

/** A new page begins at its top; Back leads to where one was. A drawer or a filter is not a new page. */
export const scrollBehavior: RouterScrollBehavior = (to, from, saved) => {
  if (to.matched.at(-1) === from.matched.at(-1)) return false
  return saved ? tallEnough(saved) : { top: 0 }
}

const longestMs = 2_000
/** A page that is fetched again is short at first: what was scrolled to comes with its rows. */
async function tallEnough<Place extends { top: number }>(saved: Place): Promise<Place> {
  const root = document.documentElement
  const stands = () => root.scrollHeight >= saved.top + root.clientHeight
  if (!stands())
    await new Promise<void>((done) => {
      const sizes = new ResizeObserver(() => stands() && finish())
      // Whoever scrolls meanwhile is where they want to be, and shorter than before it may stay.
      const timer = setTimeout(() => finish(), longestMs)
      function finish() {
        clearTimeout(timer)
        sizes.disconnect()
        done()
      }
      sizes.observe(document.body)
    })
  return saved
}

export const router = createRouter({
  history: createWebHistory(import.meta.env.BASE_URL),
  scrollBehavior,
  routes: [
    { path: '/', redirect: '/overview' },
    ...features.flatMap((feature) => feature.routes),
    // Left out of what is built.
    ...(import.meta.env.DEV ? [{ path: '/kit', name: 'kit', component: () => import('./kitpage/KitPage.vue') }] : []),
    { path: '/:rest(.*)*', name: 'nowhere', component: () => import('./shell/Nowhere.vue') },
  ],
})
followUpgrades(router)
