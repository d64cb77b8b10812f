import { BookOpenText } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'knowledge',
  group: 'traffic',
  icon: BookOpenText,
  permission: 'read:knowledge',
  shortcut: 'z',
  routes: [{ path: '/knowledge/:id?', name: 'knowledge', component: () => import('./KnowledgePage.vue') }],
} satisfies Feature
