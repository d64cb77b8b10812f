import './style.css'
import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query'
import { createPinia } from 'pinia'
import { createApp } from 'vue'
import { Problem } from './api/problem'
import App from './shell/App.vue'
import { i18n } from './i18n'
import { router } from './router'

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      refetchOnWindowFocus: true,
      // Steward may stand in a network that leads nowhere else; whether it answers is learnt by asking.
      networkMode: 'always',
      retry: (times, failure) =>
        times < 2 && (!(failure instanceof Problem) || failure.isUnreachable || failure.status >= 500),
    },
    mutations: { networkMode: 'always' },
  },
})

createApp(App).use(createPinia()).use(i18n).use(router).use(VueQueryPlugin, { queryClient: queries }).mount('#app')
