import { describe, expect, it } from 'vitest'
import { changes, creation, draftOf, emptyDraft, filled, type Issuer, presets } from './issuer'

describe('an issuer in a form', () => {
  it('of Supabase is known by its project, its address or its whole issuer', () => {
    const draft = filled(emptyDraft(), { preset: 'supabase' })
    expect(draft).toMatchObject({ kind: 'jwks', issuer: '', audience: '' })
    for (const place of ['abcd', 'abcd.supabase.co', 'https://abcd.supabase.co/', 'https://abcd.supabase.co/auth/v1']) {
      expect(filled(draft, { place })).toMatchObject({
        issuer: 'https://abcd.supabase.co/auth/v1',
        audience: 'authenticated',
        jwks_url: 'https://abcd.supabase.co/auth/v1/.well-known/jwks.json',
      })
    }
  })
  it('keeps no trace of the preset before', () => {
    const before = { ...filled(filled(emptyDraft(), { preset: 'supabase' }), { place: 'abcd' }), secret: 's' }
    expect(filled(before, { preset: 'secret' })).toMatchObject({ issuer: '', jwks_url: '', secret: '', place: '' })
    expect(filled(before, { preset: 'own' })).toMatchObject({ kind: 'own', issuer: 'steward' })
  })
  it('sends of each kind what belongs to it', () => {
    const draft = { ...emptyDraft(), name: ' a ', jwks_url: 'https://a', secret: 's' }
    expect(Object.keys(creation(draft))).not.toContain('jwks_url')
    expect(creation({ ...draft, kind: 'jwks' })).not.toHaveProperty('algorithm')
    expect(creation({ ...draft, kind: 'secret' })).toMatchObject({ name: 'a', secret: 's' })
  })
  it('sends what was changed and nothing else', () => {
    const issuer = {
      id: 'iss_1',
      name: 'a',
      kind: 'secret',
      issuer: 'i',
      audience: 'b',
      token_id: 'tok_1',
      ttl_s: 60,
      enabled: true,
    } as Issuer
    const before = draftOf(issuer)
    expect(changes(before, { ...before })).toEqual({})
    expect(changes(before, { ...before, enabled: false, secret: 'new' })).toEqual({ enabled: false, secret: 'new' })
    expect(changes(before, { ...before, jwks_url: 'https://elsewhere' })).toEqual({})
  })
  it('has presets that ask for what they fill in', () => {
    for (const preset of presets) expect(Boolean(preset.asks)).toBe(Boolean(preset.fills))
  })
})
