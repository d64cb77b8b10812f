// Every word of every page, in both languages: the compiler checks that the keys agree; this checks what they say.
import { describe, expect, it } from 'vitest'
import openapi from '../../openapi.json?raw'
import { i18n, type Words } from './index'

import.meta.glob(['../features/*/messages.ts', '../depot/messages.ts'], { eager: true })

function leaves(words: Words, path = ''): [string, string][] {
  return Object.entries(words).flatMap(([key, value]) =>
    typeof value === 'string' ? [[`${path}${key}`, value] as [string, string]] : leaves(value, `${path}${key}.`),
  )
}
const messages = i18n.global.messages.value as Record<string, Words>
const en = new Map(leaves(messages.en ?? {}))
const zh = new Map(leaves(messages['zh-CN'] ?? {}))
interface Shape {
  properties: Record<string, { minLength?: number }>
}
const placeholders = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort()

describe('words', () => {
  it('has found some', () => expect(en.size).toBeGreaterThan(30))

  it('has the same keys in both languages', () => expect([...zh.keys()].sort()).toEqual([...en.keys()].sort()))

  it('fills in the same values in both languages', () => {
    const differing = [...en].filter(
      ([key, text]) => placeholders(text).join() !== placeholders(zh.get(key) ?? '').join(),
    )
    expect(differing.map(([key]) => key)).toEqual([])
  })

  it('asks for a password as long as the server does', () => {
    const { schemas } = (JSON.parse(openapi) as { components: { schemas: Record<string, Shape> } }).components
    const least = schemas.PasswordChange!.properties.new_password!.minLength
    expect(least).toBeGreaterThan(0)
    for (const all of [en, zh]) {
      const hint = [...all].find(([key]) => key.endsWith('password.hint'))?.[1]
      expect(hint?.match(/\d+/)?.[0]).toBe(String(least))
    }
  })

  it('never leaves a word empty', () => {
    expect([...en, ...zh].filter(([, text]) => text.trim() === '').map(([key]) => key)).toEqual([])
  })

  it('sets Chinese with full-width punctuation', () => {
    const wrong = [...zh].filter(([, text]) =>
      /[\u4e00-\u9fff][,;!?](?!\w)|[\u4e00-\u9fff]:(?=[\u4e00-\u9fff])|[\u4e00-\u9fff] ?\(|\) ?[\u4e00-\u9fff]/.test(
        text,
      ),
    )
    expect(wrong.map(([key, text]) => `${key}: ${text}`)).toEqual([])
  })
})
