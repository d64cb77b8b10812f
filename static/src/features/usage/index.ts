import { ChartColumn } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'usage',
  group: 'traffic',
  icon: ChartColumn,
  permission: 'read:stats',
  shortcut: 'b',
  routes: [{ path: '/usage', name: 'usage', component: () => import('./UsagePage.vue') }],
} satisfies Feature
