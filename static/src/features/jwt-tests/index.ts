import { FlaskConical } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'jwt-tests',
  group: 'traffic',
  icon: FlaskConical,
  permission: 'read:tokens',
  shortcut: 't',
  routes: [
    { path: '/jwt-tests', name: 'jwt-tests', component: () => import('./JwtTestsPage.vue') },
    { path: '/jwt-tests/:id', name: 'jwt-test', component: () => import('./JwtTestPage.vue') },
  ],
} satisfies Feature
