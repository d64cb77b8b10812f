import { describe, expect, it } from 'vitest'
import { type Account, changes, conditionOf, creation, emptyDraft, namesAll } from './account'
import { presets } from '@/providers'

const account = (more: Partial<Account> = {}, breaker: Partial<Account['breaker']> = {}): Account =>
  ({
    enabled: true,
    in_flight: 0,
    unusable_reason: null,
    breaker: { state: 'closed', consecutive_failures: 0, opened: 0, bad_credential: false, ...breaker },
    ...more,
  }) as Account

describe('how an account does', () => {
  it.each([
    [account(), 'ready'],
    [account({ enabled: false }), 'drained'],
    [account({ enabled: false, in_flight: 2 }), 'draining'],
    [account({}, { state: 'open' }), 'open'],
    [account({}, { state: 'open', bad_credential: true }), 'badCredential'],
    [account({ unusable_reason: 'sealed under a key that is gone' }), 'unusable'],
    [account({}, { state: 'half_open' }), 'half_open'],
    [account({ enabled: false }, { state: 'open' }), 'drained'],
  ])('%#', (it, condition) => expect(conditionOf(it)).toBe(condition))
})

describe('what a form becomes', () => {
  it('leaves half an alias out', () => {
    const draft = {
      ...emptyDraft(),
      aliases: [
        { alias: 'fast', target: 'gpt-4o-mini' },
        { alias: 'x', target: ' ' },
      ],
    }
    expect(creation(draft).aliases).toEqual({ fast: 'gpt-4o-mini' })
  })

  it('keeps the present key unless another is entered', () => {
    const before = { ...emptyDraft(), name: 'a' }
    expect(changes(before, { ...before, weight: 3 })).toEqual({ weight: 3 })
    expect(changes(before, { ...before, api_key: 'sk-new' })).toEqual({ api_key: 'sk-new' })
  })
})

describe('presets', () => {
  it('are one for each provider, with a base URL that parses and has no slash at its end', () => {
    expect(new Set(presets.map((preset) => preset.provider)).size).toBe(presets.length)
    for (const preset of presets) {
      expect(new URL(preset.baseUrl).protocol).toMatch(/^https?:$/)
      expect(preset.baseUrl.endsWith('/')).toBe(false)
    }
  })
})

it('tells an account for every model from one that also names some', () => {
  expect(namesAll(['*'])).toBe(true)
  expect(namesAll(['*', 'gpt-4o'])).toBe(false)
  expect(namesAll([])).toBe(false)
})
