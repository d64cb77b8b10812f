// Words in two languages. English is the shape; Chinese must have the same keys or the type-check fails.
//
// Every feature keeps its own words in `features/<noun>/messages.ts` and loads them with its page:
//   export const useText = featureText('requests', en, zh)      →      const t = useText();  t('drawer.title')
import { createI18n } from 'vue-i18n'
import { shellEn, shellZh } from './shell'

export type Locale = 'en' | 'zh-CN'
export const locales: Record<Locale, string> = { en: 'English', 'zh-CN': '简体中文' }

/** A tree of words. */
export type Words = { [key: string]: string | Words }
/** The same keys, other words. */
export type SameKeys<T> = { [K in keyof T]: T[K] extends string ? string : SameKeys<T[K]> }
/** `a.b.c` for every leaf. */
export type Path<T> = { [K in keyof T & string]: T[K] extends string ? K : `${K}.${Path<T[K]>}` }[keyof T & string]

export const i18n = createI18n({
  legacy: false,
  locale: 'en' as Locale,
  fallbackLocale: 'en',
  messages: { en: { shell: shellEn }, 'zh-CN': { shell: shellZh } } as Record<Locale, Words>,
})

export type Text<T> = (key: Path<T>, values?: Record<string, unknown> | number) => string

function textOf<T>(name: string): Text<T> {
  return (key, values) => {
    const full = `${name}.${key}`
    return typeof values === 'number'
      ? i18n.global.t(full, { n: values, count: values }, values)
      : i18n.global.t(full, values ?? {})
  }
}

/** Registers a feature's words and gives its `useText`. Plurals: `'no calls | one call | {n} calls'`, called with a number. */
export function featureText<T extends Words>(name: string, en: T, zh: SameKeys<T>): () => Text<T> {
  i18n.global.mergeLocaleMessage('en', { [name]: en })
  i18n.global.mergeLocaleMessage('zh-CN', { [name]: zh as Words })
  const text = textOf<T>(name)
  return () => text
}

const shellText = textOf<typeof shellEn>('shell')
/** The words of the shell and of the kit: navigation, buttons, errors, time. */
export const useShellText = (): Text<typeof shellEn> => shellText

export function setLocale(locale: Locale): void {
  i18n.global.locale.value = locale
  document.documentElement.lang = locale
}
export const currentLocale = (): Locale => i18n.global.locale.value as Locale
