import { ListChecks } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'jobs',
  group: 'system',
  icon: ListChecks,
  permission: 'read:jobs',
  shortcut: 'j',
  routes: [{ path: '/jobs/:id?', name: 'jobs', component: () => import('./JobsPage.vue') }],
} satisfies Feature
