// Pages by URL under /ops/. A page's filters, sort and time range live in its query, so Back restores them.
import { createRouter, createWebHistory, type Router } from 'vue-router'
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

export const router = createRouter({
  history: createWebHistory(import.meta.env.BASE_URL),
  routes: [
    { path: '/', redirect: '/overview' },
    ...features.flatMap((feature) => feature.routes),
    // Left out of what is built.
    ...(import.meta.env.DEV ? [{ path: '/kit', name: 'kit', component: () => import('./kitpage/KitPage.vue') }] : []),
    { path: '/:rest(.*)*', name: 'nowhere', component: () => import('./shell/Nowhere.vue') },
  ],
})
followUpgrades(router)
