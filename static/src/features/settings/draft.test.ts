import { describe, expect, it } from 'vitest'
import { changes, draftOf, sections, type Setting, type Settings } from './draft'

const setting = (key: string, value: string, rest: Partial<Setting> = {}): Setting => ({
  key,
  kind: 'decimal',
  value,
  default: '7.10',
  min: '0.01',
  max: '1000',
  options: [],
  locked: false,
  saved: null,
  updated_at: null,
  updated_by: null,
  ...rest,
})
const settings: Settings = {
  version: 3,
  items: [
    setting('prices.usd_cny', '6.9', { saved: '6.9' }),
    setting('api.limit', '7.10'),
    setting('prices.currency', 'USD', { default: 'USD', locked: true }),
  ],
}

describe('what is typed over the settings', () => {
  it('is nothing as long as nothing is another value', () => {
    expect(changes(settings, draftOf(settings))).toEqual({})
    expect(changes(settings, { ...draftOf(settings), 'prices.usd_cny': ' 6.9 ' })).toEqual({})
  })
  it('goes back to the default by saving none, and leaves out what is locked', () => {
    const draft = { 'prices.usd_cny': '7.10', 'api.limit': '8', 'prices.currency': 'CNY' }
    expect(changes(settings, draft)).toEqual({ 'prices.usd_cny': null, 'api.limit': '8' })
  })
  it('stands under the section of the configuration', () => {
    const keys = sections(settings).map(({ name, settings }) => [name, ...settings.map(({ key }) => key)])
    expect(keys).toEqual([
      ['prices', 'prices.usd_cny', 'prices.currency'],
      ['api', 'api.limit'],
    ])
  })
})
