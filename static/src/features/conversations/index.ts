import { MessagesSquare } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'conversations',
  group: 'traffic',
  icon: MessagesSquare,
  permission: 'read:conversations',
  shortcut: 'c',
  routes: [{ path: '/conversations/:id?', name: 'conversations', component: () => import('./ConversationsPage.vue') }],
} satisfies Feature
