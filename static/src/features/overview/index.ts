import { LayoutDashboard } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'overview',
  group: 'traffic',
  icon: LayoutDashboard,
  permission: 'read:logs',
  shortcut: 'd',
  routes: [{ path: '/overview', name: 'overview', component: () => import('./OverviewPage.vue') }],
} satisfies Feature
