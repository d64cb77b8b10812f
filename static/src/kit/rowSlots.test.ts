import { describe, expect, it } from 'vitest'
import { firstDrawn, inOrder, rowOf, slotsFor } from './rowSlots'

const view = { scrolled: 0, height: 600, rowHeight: 34, count: 100_000 }

describe('row slots', () => {
  it('cover what can be seen, wherever one is, and never a row that is not there', () => {
    for (const scrolled of [0, 1, 33, 34, 5_000, 1_234_567, 3_399_400, 9e9]) {
      const [first, slots] = [firstDrawn({ ...view, scrolled }), slotsFor(view)]
      const end = Math.min(view.count, Math.ceil((scrolled + view.height) / view.rowHeight))
      expect(first).toBeGreaterThanOrEqual(0)
      expect(first + slots).toBeLessThanOrEqual(view.count)
      expect(first + slots).toBeGreaterThanOrEqual(end)
      expect(first).toBeLessThanOrEqual(scrolled / view.rowHeight)
    }
  })

  it('are no more than the rows there are', () => {
    expect(slotsFor({ ...view, count: 3 })).toBe(3)
    expect(firstDrawn({ ...view, count: 3, scrolled: 100 })).toBe(0)
    expect(inOrder(0, 0)).toEqual([])
  })

  it('give another row to as few elements as rows were passed', () => {
    const slots = Array.from({ length: 30 }, (_, slot) => slot)
    const [before, after] = [1_000, 1_003].map((first) => slots.map((slot) => rowOf(slot, first, 30)))
    expect(slots.filter((slot) => before![slot] !== after![slot])).toHaveLength(3)
  })

  it('stand in the order of their rows, each row once', () => {
    for (const first of [0, 1, 19, 20, 47]) {
      const rows = inOrder(first, 20).map((slot) => rowOf(slot, first, 20))
      expect(rows).toEqual(Array.from({ length: 20 }, (_, at) => first + at))
    }
  })
})
