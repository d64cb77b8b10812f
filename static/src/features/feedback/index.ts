import { MessageSquareHeart } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'feedback',
  group: 'traffic',
  icon: MessageSquareHeart,
  permission: 'read:feedback',
  shortcut: 'f',
  routes: [{ path: '/feedback/:id?', name: 'feedback', component: () => import('./FeedbackPage.vue') }],
} satisfies Feature
