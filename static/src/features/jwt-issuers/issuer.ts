// What a form holds of an issuer, what is known of well-known ones, and the requests they become. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Issuer = Schemas['IssuerShown']
export type NewIssuer = Schemas['NewIssuer']
export type IssuerChanges = Schemas['IssuerChanges']
export type IssuerTest = Schemas['IssuerTest']
export type Availabilities = Schemas['JwtAvailability']
export type Availability = Schemas['JwtIssuerAvailability']

export const kinds = ['own', 'jwks', 'secret'] as const
export type Kind = (typeof kinds)[number]
export const kindOf = (word: string): Kind => kinds.find((one) => one === word) ?? 'jwks'

/** A key that is made together with the issuer. */
export const NEW_KEY = 'new'

export interface Draft {
  preset: string
  /** What a preset asks for, such as a project's name. */
  place: string
  name: string
  kind: Kind
  issuer: string
  audience: string
  token_id: string
  algorithm: 'EdDSA' | 'HS256'
  jwks_url: string
  secret: string
  ttl_s: number | null
  enabled: boolean
}

/** What the provider's own documentation says of its tokens, so that nobody types it. */
export interface Preset {
  id: string
  name: string
  kind: Kind
  /** What is asked for; none: nothing can be filled in. */
  asks?: 'supabase' | 'domain' | 'realm' | 'project'
  example?: string
  fills?: (place: string) => Pick<Draft, 'issuer' | 'audience' | 'jwks_url'>
}

const bare = (place: string) => place.replace(/^https?:\/\//, '').replace(/\/+$/, '')
const supabase = (ref: string) => {
  const host = bare(ref)
  const issuer = `https://${host.includes('.') ? host.replace(/\/auth\/v1$/, '') : `${host}.supabase.co`}/auth/v1`
  return { issuer, audience: 'authenticated', jwks_url: `${issuer}/.well-known/jwks.json` }
}

export const presets: readonly Preset[] = [
  { id: 'own', name: 'Steward', kind: 'own' },
  { id: 'supabase', name: 'Supabase Auth', kind: 'jwks', asks: 'supabase', example: 'abcdefghijkl', fills: supabase },
  {
    id: 'supabase-secret',
    name: 'Supabase Auth (HS256)',
    kind: 'secret',
    asks: 'supabase',
    example: 'abcdefghijkl',
    fills: (ref) => ({ ...supabase(ref), jwks_url: '' }),
  },
  {
    id: 'auth0',
    name: 'Auth0',
    kind: 'jwks',
    asks: 'domain',
    example: 'example.eu.auth0.com',
    fills: (domain) => ({
      issuer: `https://${bare(domain)}/`,
      audience: '',
      jwks_url: `https://${bare(domain)}/.well-known/jwks.json`,
    }),
  },
  {
    id: 'keycloak',
    name: 'Keycloak',
    kind: 'jwks',
    asks: 'realm',
    example: 'id.example.com/realms/main',
    fills: (realm) => ({
      issuer: `https://${bare(realm)}`,
      audience: 'account',
      jwks_url: `https://${bare(realm)}/protocol/openid-connect/certs`,
    }),
  },
  {
    id: 'firebase',
    name: 'Firebase Auth',
    kind: 'jwks',
    asks: 'project',
    example: 'my-project',
    fills: (project) => ({
      issuer: `https://securetoken.google.com/${project.trim()}`,
      audience: project.trim(),
      jwks_url: 'https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com',
    }),
  },
  { id: 'jwks', name: 'JWKS', kind: 'jwks' },
  { id: 'secret', name: 'HS256', kind: 'secret' },
]
export const presetOf = (id: string): Preset => presets.find((one) => one.id === id) ?? presets[0]!

export const emptyDraft = (): Draft => ({
  preset: 'own',
  place: '',
  name: '',
  kind: 'own',
  issuer: 'steward',
  audience: 'steward-gateway',
  token_id: NEW_KEY,
  algorithm: 'EdDSA',
  jwks_url: '',
  secret: '',
  ttl_s: 3600,
  enabled: true,
})

/** The draft after another preset was chosen, or something else was said of its place. */
export function filled(draft: Draft, change: { preset?: string; place?: string }): Draft {
  const preset = presetOf(change.preset ?? draft.preset)
  const place = change.preset === undefined ? (change.place ?? draft.place) : ''
  const base = { ...draft, preset: preset.id, kind: preset.kind, place }
  if (change.preset !== undefined) {
    const own = preset.kind === 'own'
    Object.assign(base, {
      issuer: own ? 'steward' : '',
      audience: own ? 'steward-gateway' : '',
      jwks_url: '',
      secret: '',
    })
  }
  return place.trim() && preset.fills ? { ...base, ...preset.fills(place) } : base
}

/** The secret is not shown, so the form begins without it. */
export const draftOf = (issuer: Issuer): Draft => ({
  ...emptyDraft(),
  preset: issuer.kind,
  name: issuer.name,
  kind: kindOf(issuer.kind),
  issuer: issuer.issuer,
  audience: issuer.audience,
  token_id: issuer.token_id ?? '',
  jwks_url: issuer.kind === 'jwks' ? (issuer.jwks_url ?? '') : '',
  ttl_s: issuer.ttl_s,
  enabled: issuer.enabled,
})

export function creation(draft: Draft): NewIssuer {
  return {
    name: draft.name.trim(),
    kind: draft.kind,
    issuer: draft.issuer.trim(),
    audience: draft.audience.trim(),
    token_id: draft.token_id,
    enabled: draft.enabled,
    ...(draft.kind === 'own' ? { algorithm: draft.algorithm } : {}),
    ...(draft.kind === 'own' && draft.ttl_s !== null ? { ttl_s: draft.ttl_s } : {}),
    ...(draft.kind === 'jwks' ? { jwks_url: draft.jwks_url.trim() } : {}),
    ...(draft.kind === 'secret' ? { secret: draft.secret } : {}),
  }
}

/** Only what differs, so that two people may change different things. */
export function changes(before: Draft, after: Draft): IssuerChanges {
  const made: IssuerChanges = {}
  if (after.name.trim() !== before.name) made.name = after.name.trim()
  if (after.audience.trim() !== before.audience) made.audience = after.audience.trim()
  if (after.token_id !== before.token_id) made.token_id = after.token_id
  if (after.kind === 'jwks' && after.jwks_url.trim() !== before.jwks_url) made.jwks_url = after.jwks_url.trim()
  if (after.kind === 'secret' && after.secret) made.secret = after.secret
  if (after.ttl_s !== null && after.ttl_s !== before.ttl_s) made.ttl_s = after.ttl_s
  if (after.enabled !== before.enabled) made.enabled = after.enabled
  return made
}

export const toneOf = (status: string | undefined): 'ok' | 'warn' | 'bad' | 'idle' =>
  status === 'healthy' ? 'ok' : status === 'degraded' ? 'warn' : status === 'unhealthy' ? 'bad' : 'idle'

/** How an application calls with a token just issued. */
export const curl = (origin: string, token: string): string =>
  `curl ${origin}/v1/chat/completions \\\n  -H 'authorization: Bearer ${token}' \\\n  -H 'content-type: application/json' \\\n  -d '{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}'`
