import { IdCard } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'jwt-issuers',
  group: 'traffic',
  icon: IdCard,
  permission: 'read:tokens',
  shortcut: 'i',
  routes: [{ path: '/jwt-issuers', name: 'jwt-issuers', component: () => import('./JwtIssuersPage.vue') }],
} satisfies Feature
