import { CircleDollarSign } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'prices',
  group: 'traffic',
  icon: CircleDollarSign,
  permission: 'read:prices',
  shortcut: 'm',
  routes: [{ path: '/prices/:id?', name: 'prices', component: () => import('./PricesPage.vue') }],
} satisfies Feature
