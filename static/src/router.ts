// Pages by URL under /ops/. A page's filters, sort and time range live in its query, so Back restores them.
import { createRouter, createWebHistory } from 'vue-router'
import { features } from './features'

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
