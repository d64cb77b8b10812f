import { DatabaseBackup } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'backups',
  group: 'system',
  icon: DatabaseBackup,
  permission: 'read:backups',
  shortcut: 'y',
  routes: [{ path: '/backups', name: 'backups', component: () => import('./BackupsPage.vue') }],
} satisfies Feature
