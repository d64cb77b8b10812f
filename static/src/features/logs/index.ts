import { SquareTerminal } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'logs',
  group: 'system',
  icon: SquareTerminal,
  permission: 'read:logs',
  shortcut: 'l',
  routes: [{ path: '/logs/:id?', name: 'logs', component: () => import('./LogsPage.vue') }],
} satisfies Feature
