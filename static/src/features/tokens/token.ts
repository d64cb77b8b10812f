// What is known of a key without asking: its state, and code that calls with it. Pure.
import type { components } from '@/api/schema'

export type Token = components['schemas']['TokenView']
export type TokenState = 'active' | 'disabled' | 'expired' | 'revoked'

export function stateOf(token: Pick<Token, 'enabled' | 'expires_at' | 'revoked_at'>, nowMs: number): TokenState {
  if (token.revoked_at) return 'revoked'
  if (token.expires_at && Date.parse(token.expires_at) <= nowMs) return 'expired'
  return token.enabled ? 'active' : 'disabled'
}

export type Client = 'curl' | 'python' | 'node' | 'anthropic'
export const clients: {
  value: Client
  label: string
  language: 'bash' | 'python' | 'javascript'
  protocol: 'openai' | 'anthropic'
}[] = [
  { value: 'curl', label: 'curl', language: 'bash', protocol: 'openai' },
  { value: 'python', label: 'Python', language: 'python', protocol: 'openai' },
  { value: 'node', label: 'Node', language: 'javascript', protocol: 'openai' },
  { value: 'anthropic', label: 'Anthropic', language: 'python', protocol: 'anthropic' },
]

export interface Offered {
  protocol: string
  /** In order; empty: any. */
  models: string[]
}
/** By protocol, what accounts in service can be called for: an example must run as it stands. */
export function offered(
  accounts: readonly {
    protocol: string
    enabled: boolean
    models: string[]
    aliases?: Record<string, string> | null
  }[],
): Offered[] {
  const protocols = [...new Set(accounts.filter((one) => one.enabled).map((one) => one.protocol))]
  return protocols.map((protocol) => {
    const names = accounts
      .filter((one) => one.enabled && one.protocol === protocol)
      .flatMap((one) => [...one.models.filter((model) => model !== '*'), ...Object.keys(one.aliases ?? {})])
    return { protocol, models: [...new Set(names)].sort() }
  })
}
/** The clients that reach one of them; all, as long as there is none. */
export const clientsFor = (known: readonly Offered[]) =>
  known.length === 0 ? clients : clients.filter((client) => known.some((one) => one.protocol === client.protocol))

/** Code that runs as it stands. `origin` is where this console came from. */
export function snippet(client: Client, origin: string, secret: string, model: string): string {
  const asked = 'Hello'
  switch (client) {
    case 'curl':
      return `curl ${origin}/v1/chat/completions \\
  -H 'authorization: Bearer ${secret}' \\
  -H 'content-type: application/json' \\
  -d '${JSON.stringify({ model, messages: [{ role: 'user', content: asked }] })}'`
    case 'python':
      return `# pip install openai
from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key="${secret}")
answer = client.chat.completions.create(
    model="${model}", messages=[{"role": "user", "content": "${asked}"}])
print(answer.choices[0].message.content)`
    case 'node':
      return `// npm install openai
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${origin}/v1", apiKey: "${secret}" });
const answer = await client.chat.completions.create({
  model: "${model}", messages: [{ role: "user", content: "${asked}" }] });
console.log(answer.choices[0].message.content);`
    case 'anthropic':
      return `# pip install anthropic
from anthropic import Anthropic

client = Anthropic(base_url="${origin}", api_key="${secret}")
answer = client.messages.create(
    model="${model}", max_tokens=256, messages=[{"role": "user", "content": "${asked}"}])
print(answer.content[0].text)`
  }
}
