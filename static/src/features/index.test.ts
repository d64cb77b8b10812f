// What the menu, the routes, the palette and the shortcuts are made of hangs together.
import { expect, it } from 'vitest'
import { features } from '.'

const twice = (values: readonly string[]) => values.filter((value, at) => values.indexOf(value) !== at)

it('has found the pages', () => expect(features.length).toBeGreaterThan(15))
it('gives every page a noun of its own', () => expect(twice(features.map((one) => one.noun))).toEqual([]))

it('gives every page a shortcut of its own, a letter or, since letters are used up, a digit', () => {
  expect(twice(features.map((one) => one.shortcut))).toEqual([])
  expect(features.map((one) => one.shortcut).filter((key) => !/^[a-z0-9]$/.test(key))).toEqual([])
})

it('has a place for every page in the menu', () => {
  // One that the order does not name would stand before the first.
  expect(features[0]!.noun).toBe('overview')
  const groups = features.map((one) => one.group)
  expect(groups.lastIndexOf('traffic')).toBeLessThan(groups.indexOf('system'))
})
