import { ShieldCheck } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'redaction-rules',
  group: 'system',
  icon: ShieldCheck,
  permission: 'read:settings',
  shortcut: 'x',
  routes: [{ path: '/redaction-rules/:id?', name: 'redaction-rules', component: () => import('./RulesPage.vue') }],
} satisfies Feature
