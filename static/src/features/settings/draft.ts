// What is typed over the settings, and what of it is to be saved. Values are texts, as in the configuration.
import type { components } from '@/api/schema'

export type Settings = components['schemas']['Settings']
export type Setting = components['schemas']['SettingView']
export type Draft = Record<string, string>

export const draftOf = (settings: Settings): Draft =>
  Object.fromEntries(settings.items.map((setting) => [setting.key, setting.value]))

/** Key → value, null to go back to the configuration's; only what is another value than the one in force. */
export function changes(settings: Settings, draft: Draft): Record<string, string | null> {
  const typed = settings.items.flatMap((setting): [string, string | null][] => {
    const value = (draft[setting.key] ?? setting.value).trim()
    if (setting.locked || value === setting.value) return []
    return [[setting.key, value === setting.default ? null : value]]
  })
  return Object.fromEntries(typed)
}

/** By the section of the configuration they stand in, in the server's order. */
export function sections(settings: Settings): { name: string; settings: Setting[] }[] {
  const found = new Map<string, Setting[]>()
  for (const setting of settings.items) {
    const name = setting.key.split('.')[0] ?? ''
    found.set(name, [...(found.get(name) ?? []), setting])
  }
  return [...found].map(([name, settings]) => ({ name, settings }))
}
