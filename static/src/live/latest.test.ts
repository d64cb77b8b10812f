import { expect, it } from 'vitest'
import { onTop } from './latest'

const rows = (...ids: string[]) => ids.map((id) => ({ id }))

it('puts news on top, each once, and forgets the oldest', () => {
  expect(onTop(rows('d', 'c'), rows('c', 'b', 'a'), 3)).toEqual(rows('d', 'c', 'b'))
  expect(onTop(rows('a', 'd'), rows('c', 'b'), 9), 'a long call comes late, and stands where it began').toEqual(
    rows('d', 'c', 'b', 'a'),
  )
  expect(onTop([], rows('a'), 3)).toEqual(rows('a'))
  expect(onTop(rows('a', 'a'), [], 3)).toEqual(rows('a'))
})
