import { describe, expect, it, vi } from 'vitest'
import { ref } from 'vue'
import { useWalk, walkable } from './useWalk'

const letters = (text: string) => text.split('')
function walking(rows: string, open: string | null) {
  const list = ref(letters(rows))
  const selected = ref(open)
  const walk = useWalk(
    walkable(() => list.value),
    (row) => row,
    () => selected.value,
    (to) => (selected.value = to),
  )
  return { list, selected, walk }
}

describe('a walk along a list', () => {
  it('goes from neighbour to neighbour and stops at both ends', () => {
    const { selected, walk } = walking('abc', 'b')
    expect(walk.value).toMatchObject({ position: '2 of 3', hasPrevious: true, hasNext: true })
    walk.value.step(1)
    expect(selected.value).toBe('c')
    expect(walk.value).toMatchObject({ position: '3 of 3', hasNext: false })
    walk.value.step(1)
    expect(selected.value).toBe('c')
    walk.value.step(-1)
    walk.value.step(-1)
    walk.value.step(-1)
    expect(selected.value).toBe('a')
    expect(walk.value.hasPrevious).toBe(false)
  })

  it('stands where its record stands when rows come above it, or the order changes', () => {
    const { list, selected, walk } = walking('abc', 'b')
    list.value = letters('xyabc')
    expect(walk.value.position).toBe('4 of 5')
    list.value = letters('cba')
    expect(walk.value.position).toBe('2 of 3')
    walk.value.step(1)
    expect(selected.value).toBe('a')
  })

  it('goes nowhere from a record that the list does not have', () => {
    const { selected, walk } = walking('abc', 'z')
    expect(walk.value).toMatchObject({ position: undefined, hasPrevious: false, hasNext: false })
    walk.value.step(1)
    expect(selected.value).toBe('z')
    selected.value = null
    expect(walk.value.position).toBeUndefined()
  })

  it('has rows fetched ahead, and tells how much is known of how many there are', () => {
    const need = vi.fn()
    const opened = vi.fn()
    const rows = letters('abcdefghij')
    const list = {
      count: ref(10),
      at: (index: number) => rows[index],
      need,
      total: ref<number | null>(null),
      totalIsExact: ref(false),
      hasMore: ref(true),
    }
    const walk = useWalk(
      list,
      (row) => row,
      () => 'h',
      opened,
    )
    expect(walk.value.position).toBe('8 of 10+')
    walk.value.step(1)
    expect(need).toHaveBeenCalledWith(3, 33)
    expect(opened).toHaveBeenCalledWith('i')
    list.total.value = 1_200
    expect(walk.value.position).toBe('8 of 1,200+')
    list.totalIsExact.value = true
    expect(walk.value.position).toBe('8 of 1,200')
  })
})
