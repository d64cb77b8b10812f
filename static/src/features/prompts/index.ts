import { FileText } from '@lucide/vue'
import type { Feature } from '..'

export default {
  noun: 'prompts',
  group: 'traffic',
  icon: FileText,
  permission: 'read:prompts',
  shortcut: 'p',
  routes: [
    { path: '/prompts', name: 'prompts', component: () => import('./PromptsPage.vue') },
    { path: '/prompts/:id', name: 'prompt', component: () => import('./PromptPage.vue') },
  ],
} satisfies Feature
