import { ArrowLeftRight } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'requests',
  group: 'traffic',
  icon: ArrowLeftRight,
  permission: 'read:logs',
  shortcut: 'r',
  routes: [{ path: '/requests/:id?', name: 'requests', component: () => import('./RequestsPage.vue') }],
} satisfies Feature
