import { Settings } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'settings',
  group: 'system',
  icon: Settings,
  permission: 'read:settings',
  shortcut: 'e',
  routes: [{ path: '/settings', name: 'settings', component: () => import('./SettingsPage.vue') }],
} satisfies Feature
