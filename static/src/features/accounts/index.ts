import { PlugZap } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'accounts',
  group: 'traffic',
  icon: PlugZap,
  permission: 'read:accounts',
  shortcut: 'a',
  routes: [{ path: '/accounts/:id?', name: 'accounts', component: () => import('./AccountsPage.vue') }],
} satisfies Feature
