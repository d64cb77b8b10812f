// The kit's page shows all of the kit, and of the shell what opens over every page: a part that is added to either is
// added there.
import { expect, it } from 'vitest'
import index from '@/kit/index.ts?raw'

const pages = import.meta.glob<string>('./*.vue', { query: '?raw', import: 'default', eager: true })
const shell = import.meta.glob<string>('../shell/*.vue', { query: '?raw', import: 'default', eager: true })
const shown = Object.values(pages).join('\n')
const missing = (parts: string[]) => parts.filter((part) => !new RegExp(`<${part}[\\s/>]`).test(shown))

it('every part of the kit stands on its page', () => {
  const parts = [...index.matchAll(/default as (\w+) \}/g)].map((found) => found[1]!)
  expect(parts.length).toBeGreaterThan(40)
  expect(missing(parts)).toEqual([])
})

it('every part of the shell that is opened over a page stands there too', () => {
  const parts = Object.entries(shell).flatMap(([path, source]) =>
    source.includes("defineModel<boolean>('open'") ? [/(\w+)\.vue$/.exec(path)![1]!] : [],
  )
  expect(parts).toContain('CommandPalette')
  expect(missing(parts)).toEqual([])
})
