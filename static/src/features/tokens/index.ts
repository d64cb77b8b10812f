import { KeyRound } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'tokens',
  group: 'traffic',
  icon: KeyRound,
  permission: 'read:tokens',
  shortcut: 'k',
  routes: [{ path: '/tokens/:id?', name: 'tokens', component: () => import('./TokensPage.vue') }],
} satisfies Feature
