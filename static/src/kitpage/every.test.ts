// The kit's page shows all of the kit: a part that is added to the kit is added there.
import { expect, it } from 'vitest'
import index from '@/kit/index.ts?raw'

const pages = import.meta.glob<string>('./*.vue', { query: '?raw', import: 'default', eager: true })

it('every part of the kit stands on its page', () => {
  const parts = [...index.matchAll(/default as (\w+) \}/g)].map((found) => found[1]!)
  expect(parts.length).toBeGreaterThan(40)
  const shown = Object.values(pages).join('\n')
  expect(parts.filter((part) => !new RegExp(`<${part}[\\s/>]`).test(shown))).toEqual([])
})
