import { Hourglass } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'retention',
  group: 'system',
  icon: Hourglass,
  permission: 'read:settings',
  shortcut: 'v',
  routes: [{ path: '/retention', name: 'retention', component: () => import('./RetentionPage.vue') }],
} satisfies Feature
