// The kit's page shows all of the kit, and of the shell what opens over every page: a part that is added to either is
// added there.
import { expect, it } from 'vitest'
import * as kit from '@/kit'
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

/** What shows nothing of ours: names for a form, what the browser suggests, how long to wait, a question that the browser asks. */
const unseen = ['name', 'autocomplete', 'list', 'debounceMs', 'dirty']
const dashed = (prop: string) => prop.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
/** How each `<part …>` on the page begins, up to the `>` that no value holds. */
const tags = (part: string) =>
  [...shown.matchAll(new RegExp(`<${part}(?=[\\s/>])(?:"[^"]*"|'[^']*'|[^>"'])*`, 'g'))].map(([tag]) => tag)

it('in every state that can be asked of it', () => {
  const asked = Object.entries(kit).flatMap(([part, it]) => {
    const props = (it as { props?: Record<string, unknown> }).props
    if (!props || typeof props !== 'object') return []
    return Object.keys(props).flatMap((prop) => {
      const given = prop === 'modelValue' ? 'v-model|:model-value' : `:?${dashed(prop)}|v-model:${dashed(prop)}`
      const isShown = tags(part).some((tag) => new RegExp(`\\s(${given})(?=[\\s=/]|$)`).test(tag))
      return [{ prop: `${part}.${prop}`, isShown: isShown || unseen.includes(prop) || prop.endsWith('Modifiers') }]
    })
  })
  expect(asked.length).toBeGreaterThan(120)
  expect(asked.filter(({ isShown }) => !isShown).map(({ prop }) => prop)).toEqual([])
})

it('every kind of notice can be called up', () => {
  expect(Object.keys(kit.toast).filter((kind) => !shown.includes(`toast.${kind}(`))).toEqual([])
})
