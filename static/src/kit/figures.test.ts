// Numbers before they are drawn: parts of a whole, and money.
import { mount } from '@vue/test-utils'
import { afterEach, describe, expect, it } from 'vitest'
import { setLocale } from '@/i18n'
import { arcs } from './donut'
import Legend from './Legend.vue'
import { costOf, costValue, formatMoney } from './money'

afterEach(() => setLocale('en'))

describe('the parts of a ring', () => {
  const whole = (values: number[]) => arcs(values).reduce((sum, arc) => sum + arc.share, 0)

  it('fill it, one after the other', () => {
    const ring = arcs([60, 30, 10])
    expect(ring.map((arc) => Math.round(arc.share))).toEqual([60, 30, 10])
    expect(ring.map((arc) => Math.round(arc.from))).toEqual([0, 60, 90])
  })
  it('are seen however small, at the cost of the greatest', () => {
    const ring = arcs([1_000_000, 1, 0, 1])
    expect(ring.map((arc) => arc.share)).toEqual([98, 1, 0, 1])
    expect(whole([1_000_000, 1, 0, 1])).toBeCloseTo(100)
  })
  it('are none of nothing', () =>
    expect(arcs([0, 0])).toEqual([
      { share: 0, from: 0 },
      { share: 0, from: 0 },
    ]))
})

describe('money', () => {
  it.each([
    ['1234.5', 'USD', '$1,234.50'],
    ['0.00420019', 'CNY', '¥0.0042'],
    ['0', 'USD', '$0.00'],
    ['3', 'credits', '3.00 credits'],
  ])('%s %s is written %s', (amount, currency, written) => expect(formatMoney({ amount, currency })).toBe(written))

  it('follows the language', () => {
    setLocale('zh-CN')
    expect(formatMoney({ amount: '1234.5', currency: 'CNY' })).toBe('¥1,234.50')
  })

  it('is unknown without a price, and not nothing', () => {
    const counted = { request_count: 5, cost: null, currency: null, unpriced_count: 5 }
    expect(costOf(counted)).toEqual({ total: null, charged: [], unpriced: 5, calls: 5 })
    expect(formatMoney(costOf(counted).total)).toBe('–')
    expect(costValue(counted)).toBeNull()
    expect(costValue({ ...counted, cost: '0', currency: 'USD' })).toBe(0)
  })

  it('tells what was charged where that is not what is shown', () => {
    const counted = { request_count: 1, cost: '3', currency: 'USD', cost_usd: '2', cost_cny: '7.1' }
    expect(costOf(counted).charged.map(formatMoney)).toEqual(['$2.00', '¥7.10'])
    expect(costOf({ ...counted, cost: '2', cost_cny: '0' }).charged).toEqual([])
    expect(costOf({ ...counted, cost: '1', cost_usd: '0' }).charged.map(formatMoney)).toEqual(['¥7.10'])
  })
})

describe('a legend', () => {
  const series = [
    { name: 'gpt-4o', key: 'openai/gpt-4o', colour: 'series-1', values: [1] },
    { name: 'The rest', colour: 'series-6', values: [2] },
  ]
  it('is words', () => expect(mount(Legend, { props: { series } }).findAll('button')).toEqual([]))

  it('is buttons for what can be chosen, and for nothing else', async () => {
    const wrapper = mount(Legend, { props: { series, pickable: true } })
    const buttons = wrapper.findAll('button')
    expect(buttons.map((one) => one.attributes('aria-label'))).toEqual(['Only gpt-4o'])
    await buttons[0]!.trigger('click')
    expect(wrapper.emitted('pick')).toEqual([['openai/gpt-4o']])
  })
})
