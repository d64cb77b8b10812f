import { FileChartColumn } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'reports',
  group: 'traffic',
  icon: FileChartColumn,
  permission: 'read:reports',
  shortcut: '1',
  routes: [{ path: '/reports/:id?', name: 'reports', component: () => import('./ReportsPage.vue') }],
} satisfies Feature
