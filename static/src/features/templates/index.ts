import { LayoutTemplate } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'templates',
  group: 'traffic',
  icon: LayoutTemplate,
  permission: 'read:templates',
  shortcut: 'q',
  routes: [{ path: '/templates/:id?', name: 'templates', component: () => import('./TemplatesPage.vue') }],
} satisfies Feature
