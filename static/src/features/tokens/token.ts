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
export const clients: { value: Client; label: string; language: 'bash' | 'python' | 'javascript' }[] = [
  { value: 'curl', label: 'curl', language: 'bash' },
  { value: 'python', label: 'Python', language: 'python' },
  { value: 'node', label: 'Node', language: 'javascript' },
  { value: 'anthropic', label: 'Anthropic', language: 'python' },
]

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
      return `from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key="${secret}")
answer = client.chat.completions.create(
    model="${model}", messages=[{"role": "user", "content": "${asked}"}])
print(answer.choices[0].message.content)`
    case 'node':
      return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${origin}/v1", apiKey: "${secret}" });
const answer = await client.chat.completions.create({
  model: "${model}", messages: [{ role: "user", content: "${asked}" }] });
console.log(answer.choices[0].message.content);`
    case 'anthropic':
      return `from anthropic import Anthropic

client = Anthropic(base_url="${origin}", api_key="${secret}")
answer = client.messages.create(
    model="${model}", max_tokens=256, messages=[{"role": "user", "content": "${asked}"}])
print(answer.content[0].text)`
  }
}
