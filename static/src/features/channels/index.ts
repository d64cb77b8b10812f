import { Megaphone } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'channels',
  group: 'system',
  icon: Megaphone,
  permission: 'read:notifications',
  shortcut: 'n',
  routes: [{ path: '/channels', name: 'channels', component: () => import('./ChannelsPage.vue') }],
} satisfies Feature
