// What one person likes, kept in this browser: theme, language, polling interval, density.
import { usePreferredDark, useStorage } from '@vueuse/core'
import { defineStore } from 'pinia'
import { computed, watchEffect } from 'vue'
import { type Locale, setLocale } from './i18n'

export type Theme = 'system' | 'light' | 'dark'
/** What costs are told in; they are kept as they were charged. */
export type Currency = 'USD' | 'CNY'
export const currencies: readonly Currency[] = ['USD', 'CNY']
export type Density = 'comfortable' | 'compact'
export const pollingBounds = { least: 5, most: 300, first: 30 }

const guessLocale = (): Locale => (navigator.language.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en')

export const usePreferences = defineStore('preferences', () => {
  const theme = useStorage<Theme>('steward.theme', 'system')
  const locale = useStorage<Locale>('steward.locale', guessLocale())
  const density = useStorage<Density>('steward.density', 'compact')
  /** Empty: what the installation's setting says. */
  const chosenCurrency = useStorage<Currency | ''>('steward.currency', '')
  const currency = computed({
    get: () => chosenCurrency.value || undefined,
    set: (to: Currency | undefined) => (chosenCurrency.value = to ?? ''),
  })
  const pollingSeconds = useStorage('steward.polling_s', pollingBounds.first)
  const prefersDark = usePreferredDark()
  const shownTheme = computed<'light' | 'dark'>(() =>
    theme.value === 'system' ? (prefersDark.value ? 'dark' : 'light') : theme.value,
  )
  const pollingMs = computed(
    () => Math.min(pollingBounds.most, Math.max(pollingBounds.least, Math.round(pollingSeconds.value) || 30)) * 1000,
  )
  watchEffect(() => {
    document.documentElement.dataset.theme = shownTheme.value
  })
  watchEffect(() => setLocale(locale.value))
  return { theme, shownTheme, locale, density, currency, pollingSeconds, pollingMs }
})
