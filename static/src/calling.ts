// Code that calls through Steward and runs as it stands: what can be called here, and how that is written. Pure.
import { isKnown, modelOf, type Protocol } from './providers'

export interface Upstream {
  id?: string
  provider: string
  protocol: string
  enabled: boolean
  models: string[]
  aliases?: Record<string, string> | null
}
export interface Offer {
  protocol: Protocol
  /** What an example calls. */
  model: string
  /** What else can be called, in order; null: whatever the provider has. */
  models: string[] | null
  /** An account that may have other models: asked for them, it knows. */
  ask: string | null
}

/** As the gateway takes it: a name, or how names begin. */
const matches = (pattern: string, model: string) =>
  pattern.endsWith('*') ? model.startsWith(pattern.slice(0, -1)) : pattern === model
const isName = (pattern: string) => !pattern.includes('*')
const aliasesOf = (account: Upstream) => Object.keys(account.aliases ?? {})
const serves = (account: Upstream, model: string) =>
  aliasesOf(account).includes(model) || account.models.some((pattern) => matches(pattern, model))
/** Something that can be talked to. */
export const chats = (model: string) => !/embed|rerank|whisper|tts|image/i.test(model)

/** Models that accounts in service name, in order. */
export const named = (accounts: readonly Upstream[]): string[] => {
  const names = accounts
    .filter((one) => one.enabled)
    .flatMap((one) => [...one.models.filter(isName), ...aliasesOf(one)])
  return [...new Set(names)].sort()
}

/** By protocol, what accounts in service take from a key that is allowed these models (null: all). Never empty. */
export function offers(accounts: readonly Upstream[], allowed: readonly string[] | null = null): Offer[] {
  const may = (model: string) => !allowed || allowed.some((pattern) => matches(pattern, model))
  const found = [...new Set(accounts.filter((one) => one.enabled).map((one) => one.protocol as Protocol))].map(
    (protocol) => {
      const mine = accounts.filter((one) => one.enabled && one.protocol === protocol)
      const known = mine.flatMap((one) => [
        modelOf(one.provider, protocol),
        ...one.models.filter(isName),
        ...aliasesOf(one),
      ])
      const fit = [...new Set([...known, ...(allowed ?? []).filter(isName)])].filter(
        (model) => may(model) && mine.some((one) => serves(one, model)),
      )
      const anything = !allowed && mine.some((one) => one.models.includes('*'))
      const model = fit.find(chats) ?? fit[0]
      if (model === undefined) return null
      const by = mine.find((one) => serves(one, model))
      const isGuess = anything && !named(mine).includes(model) && !isKnown(by?.provider ?? '')
      return { protocol, model, models: anything ? null : fit.sort(), ask: isGuess ? (by?.id ?? null) : null }
    },
  )
  const reached = found.filter((one) => one !== null)
  if (reached.length > 0) return reached
  // Nothing is known, or nothing fits: what the key may call, or what is called most.
  const first = allowed?.find(isName)
  return (['openai', 'anthropic'] as const).map((protocol) => ({
    protocol,
    model: first ?? modelOf('', protocol),
    models: null,
    ask: null,
  }))
}

export type Client = 'curl' | 'python' | 'node'
export const protocols: Record<Protocol, string> = { openai: 'OpenAI', anthropic: 'Anthropic' }
export const clients = [
  { value: 'curl', label: 'curl', language: 'bash' },
  { value: 'python', label: 'Python', language: 'python' },
  { value: 'node', label: 'Node', language: 'javascript' },
] as const

const hello = { role: 'user', content: 'Hello' }
const enough = 256

/** `origin` is where this console came from. */
export function snippet(protocol: Protocol, client: Client, origin: string, secret: string, model: string): string {
  const name = JSON.stringify(model)
  if (protocol === 'anthropic')
    switch (client) {
      case 'curl':
        return curl(`${origin}/v1/messages`, [`x-api-key: ${secret}`, 'anthropic-version: 2023-06-01'], {
          model,
          max_tokens: enough,
          messages: [hello],
        })
      case 'python':
        return `# pip install anthropic
from anthropic import Anthropic

client = Anthropic(base_url="${origin}", api_key="${secret}")
answer = client.messages.create(
    model=${name}, max_tokens=${enough}, messages=[{"role": "user", "content": "Hello"}])
print(answer.content[0].text)`
      case 'node':
        return `// npm install @anthropic-ai/sdk; in a file that ends in .mjs
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: "${origin}", apiKey: "${secret}" });
const answer = await client.messages.create({
  model: ${name}, max_tokens: ${enough}, messages: [{ role: "user", content: "Hello" }] });
console.log(answer.content[0].text);`
    }
  switch (client) {
    case 'curl':
      return curl(`${origin}/v1/chat/completions`, [`authorization: Bearer ${secret}`], { model, messages: [hello] })
    case 'python':
      return `# pip install openai
from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key="${secret}")
answer = client.chat.completions.create(
    model=${name}, messages=[{"role": "user", "content": "Hello"}])
print(answer.choices[0].message.content)`
    case 'node':
      return `// npm install openai; in a file that ends in .mjs
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${origin}/v1", apiKey: "${secret}" });
const answer = await client.chat.completions.create({
  model: ${name}, messages: [{ role: "user", content: "Hello" }] });
console.log(answer.choices[0].message.content);`
  }
}

function curl(url: string, headers: string[], body: object): string {
  const lines = [...headers, 'content-type: application/json'].map((header) => `  -H '${header}' \\\n`)
  return `curl ${url} \\\n${lines.join('')}  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`
}
