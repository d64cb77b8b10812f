import { ScrollText } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'audit',
  group: 'system',
  icon: ScrollText,
  permission: 'read:audit',
  shortcut: 'u',
  routes: [{ path: '/audit/:id?', name: 'audit', component: () => import('./AuditPage.vue') }],
} satisfies Feature
