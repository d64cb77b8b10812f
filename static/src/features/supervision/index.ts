import { Network } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'supervision',
  group: 'system',
  icon: Network,
  permission: 'read:supervision',
  shortcut: 's',
  routes: [
    {
      path: '/supervision/:path(.*)*',
      name: 'supervision',
      component: () => import('./SupervisionPage.vue'),
    },
  ],
} satisfies Feature
