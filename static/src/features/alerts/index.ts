import { Siren } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'alerts',
  group: 'system',
  icon: Siren,
  permission: 'read:alerts',
  shortcut: 'w',
  routes: [{ path: '/alerts', name: 'alerts', component: () => import('./AlertsPage.vue') }],
} satisfies Feature
