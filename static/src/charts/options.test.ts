import { describe, expect, it } from 'vitest'
import { bucketName, bucketTip, chartOptions, type Drawing, type Series } from './options'

const colour = (token: string) => (token === 'surface' ? '#ffffff' : '#0b6560')
const drawing = (more: Partial<Drawing>): Drawing => ({
  kind: 'line',
  x: ['1:00', '2:00', '3:00'],
  series: [{ name: 'Requests', colour: 'accent', values: [5, 7, 2] }],
  unit: (value) => `${value} calls`,
  soFar: (label) => `${label}, so far`,
  colour,
  ...more,
})
interface Drawn {
  name: string
  data: unknown[]
  lineStyle?: { type: string }
  areaStyle?: object
}
const drawn = (more: Partial<Drawing>) => chartOptions(drawing(more)).series as unknown as Drawn[]

describe('a bucket that goes on', () => {
  it('is led to by a dotted line that ends in a ring; the solid one ends before it', () => {
    const [solid, tail, ...more] = drawn({ unfinished: true })
    expect(more).toEqual([])
    expect(solid!.data).toEqual([5, 7])
    expect(solid!.lineStyle!.type).toBe('solid')
    expect(tail!.lineStyle!.type).toBe('dotted')
    expect(tail!.data[0]).toBeNull()
    expect(tail!.data[1]).toEqual({ value: 7, symbol: 'none' })
    expect(tail!.data[2]).toMatchObject({ value: 2, itemStyle: { color: '#ffffff', borderColor: '#0b6560' } })
  })

  it('has no area below it', () => {
    const [solid, tail] = drawn({ kind: 'area', unfinished: true })
    expect(solid!.areaStyle).toBeDefined()
    expect(tail!.areaStyle).toBeUndefined()
  })

  it('is a hollow bar, one above the other where they are stacked', () => {
    const series: Series[] = [
      { name: 'In', colour: 'series-3', stack: 'all', values: [1, 2, 3] },
      { name: 'Out', colour: 'series-2', stack: 'all', values: [4, 5, null] },
    ]
    const [first, second] = drawn({ kind: 'bar', series, unfinished: true })
    expect(first!.data.slice(0, 2)).toEqual([1, 2])
    expect(first!.data[2]).toMatchObject({ value: 3, itemStyle: { color: '#0b65602e', borderType: 'dashed' } })
    expect(second!.data).toEqual([4, 5, null])
  })

  it('is drawn as any other where nothing goes on: over, of the past, or unknown', () => {
    expect(drawn({}).map((one) => one.data)).toEqual([[5, 7, 2]])
    const past: Series = { name: 'Before', colour: 'series-2', dashed: true, isPast: true, values: [1, 2, 3] }
    expect(drawn({ series: [past], unfinished: true })[0]!.data).toEqual([1, 2, 3])
    expect(drawn({ kind: 'bar', series: [past], unfinished: true })[0]!.data).toEqual([1, 2, 3])
    const gap: Series = { name: 'Time', colour: 'accent', values: [1, 2, null] }
    expect(drawn({ series: [gap], unfinished: true }).map((one) => one.data)).toEqual([[1, 2, null]])
  })

  it('is told as such', () => {
    expect([0, 2].map((index) => bucketName(drawing({ unfinished: true }), index))).toEqual(['1:00', '3:00, so far'])
    expect(bucketName(drawing({}), 2)).toBe('3:00')
  })
})

it('a name is text where one points, whatever is in it', () => {
  const series: Series[] = [
    { name: '<img src=x onerror=alert(1)>', colour: 'accent', values: [5, 7, 2] },
    { name: 'Unknown', colour: 'bad', values: [1, null, null] },
  ]
  const tip = bucketTip(drawing({ series, unfinished: true }), 2)
  expect(tip.querySelector('img')).toBeNull()
  expect([...tip.querySelectorAll('p')].map((row) => row.textContent)).toEqual([
    '3:00, so far',
    '<img src=x onerror=alert(1)>2 calls',
    'Unknown–',
  ])
})
