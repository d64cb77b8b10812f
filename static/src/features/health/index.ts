import { HeartPulse } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'health',
  group: 'system',
  icon: HeartPulse,
  permission: 'read:supervision',
  shortcut: 'h',
  routes: [{ path: '/health/:id?', name: 'health', component: () => import('./HealthPage.vue') }],
} satisfies Feature
