import { describe, expect, it } from 'vitest'
import { changes, creation, emptyDraft } from './channel'

describe('a channel in a form', () => {
  it('by mail has recipients and no address', () => {
    const mail = { ...emptyDraft(), name: ' mail ', kind: 'email', url: 'https://a', to: ['a@example.com'] }
    expect(creation(mail)).toEqual({
      name: 'mail',
      kind: 'email',
      to: ['a@example.com'],
      takes_all: true,
      enabled: true,
    })
  })
  it('leaves the secret of a webhook to the server', () => {
    expect(creation({ ...emptyDraft(), url: 'https://a', secret: 'x' })).not.toHaveProperty('secret')
  })
  it('keeps address and secret unless they are typed', () => {
    const before = { ...emptyDraft(), name: 'robot', kind: 'feishu' }
    expect(changes(before, { ...before, takes_all: false })).toEqual({ takes_all: false })
    expect(changes(before, { ...before, secret: ' s ', url: 'https://b' })).toEqual({ secret: 's', url: 'https://b' })
  })
})
