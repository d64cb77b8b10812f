import { Users } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'operators',
  group: 'system',
  icon: Users,
  permission: 'read:operators',
  // One's own keys.
  isEverybodys: (query) => query.tab === 'keys',
  shortcut: 'o',
  routes: [{ path: '/operators/:id?', name: 'operators', component: () => import('./OperatorsPage.vue') }],
} satisfies Feature
