import { Store } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'tenants',
  group: 'traffic',
  icon: Store,
  permission: 'read:tenants',
  shortcut: 'g',
  routes: [{ path: '/tenants/:id?', name: 'tenants', component: () => import('./TenantsPage.vue') }],
} satisfies Feature
