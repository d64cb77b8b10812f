// What is known of a prompt without asking: what a form holds of it, where its variables stand, which lines of a
// comparison are worth showing. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Prompt = Schemas['PromptView']
export type Version = Schemas['PromptVersion']
export type Message = Schemas['Message']
export type Role = Schemas['Role']
export type DiffLine = Schemas['DiffLine']
export type VersionUse = Schemas['PromptVersionStats']
export const roles: readonly Role[] = ['system', 'user', 'assistant']

export interface PromptDraft {
  name: string
  description: string
  messages: Message[]
  model: string
  /** JSON, as it is typed. */
  parameters: string
  /** What changed, and why. */
  message: string
}

export const emptyDraft = (): PromptDraft => ({
  name: '',
  description: '',
  messages: [{ role: 'system', content: '' }],
  model: '',
  parameters: '',
  message: '',
})

export const draftOf = (prompt: Pick<Prompt, 'name' | 'description'>, version: Version): PromptDraft => ({
  name: prompt.name,
  description: prompt.description,
  messages: version.messages.map((message) => ({ ...message })),
  model: version.model ?? '',
  parameters: Object.keys(version.parameters).length > 0 ? JSON.stringify(version.parameters, null, 2) : '',
  message: '',
})

/** The parameters typed, or null when they are no JSON object. */
export function parametersOf(typed: string): Record<string, never> | null {
  if (typed.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(typed)
    return value !== null && typeof value === 'object' && !Array.isArray(value)
      ? (value as Record<string, never>)
      : null
  } catch {
    return null
  }
}

/** What a draft becomes as a request; its parameters must have been found good. */
export const contentOf = (draft: PromptDraft) => ({
  messages: draft.messages,
  model: draft.model.trim() || null,
  parameters: parametersOf(draft.parameters) ?? {},
  message: draft.message.trim(),
})

/** As one text, in the form that the server compares. */
export function textOf(content: { model?: string | null; parameters: object; messages: readonly Message[] }): string {
  const parameters = Object.entries(content.parameters).sort(([a], [b]) => (a < b ? -1 : 1))
  const head = [
    ...(content.model ? [`model: ${content.model}`] : []),
    ...parameters.map(([name, value]) => `${name}: ${JSON.stringify(value)}`),
  ].map((line) => `${line}\n`)
  const parts = content.messages.map((message) => `# ${message.role}\n${message.content.replace(/\n+$/, '')}\n`)
  return [head.join(''), ...parts].filter(Boolean).join('\n')
}

export type Piece = { kind: 'text' | 'variable'; text: string }
/** A variable as the server knows one: a name of letters, digits and `_`, at most 64, in double braces. */
const variable = /\{\{\s*([A-Za-z0-9_]{1,64})\s*\}\}/g

export const braced = (name: string): string => `{{${name}}}`

export function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = []
  let from = 0
  for (const found of text.matchAll(variable)) {
    if (found.index > from) pieces.push({ kind: 'text', text: text.slice(from, found.index) })
    pieces.push({ kind: 'variable', text: found[1]! })
    from = found.index + found[0].length
  }
  if (from < text.length) pieces.push({ kind: 'text', text: text.slice(from) })
  return pieces
}

export const variablesOf = (messages: readonly Message[]): string[] => [
  ...new Set(
    messages
      .flatMap((message) => piecesOf(message.content))
      .filter((piece) => piece.kind === 'variable')
      .map((piece) => piece.text),
  ),
]

export type Hunk = { kind: 'lines'; lines: DiffLine[] } | { kind: 'same'; lines: DiffLine[] }

/** Kept lines further than `around` from any change are folded, unless folding would hide less than it takes. */
export function hunksOf(lines: readonly DiffLine[], around = 3): Hunk[] {
  const near = new Array<boolean>(lines.length).fill(false)
  lines.forEach((line, index) => {
    if (line.change === 'kept') return
    for (let at = Math.max(0, index - around); at <= Math.min(lines.length - 1, index + around); at++) near[at] = true
  })
  const hunks: Hunk[] = []
  for (let at = 0; at < lines.length;) {
    let end = at
    while (end < lines.length && near[end] === near[at]) end++
    const run = lines.slice(at, end)
    const last = hunks.at(-1)
    if (near[at] || run.length < 2) {
      if (last?.kind === 'lines') last.lines.push(...run)
      else hunks.push({ kind: 'lines', lines: [...run] })
    } else hunks.push({ kind: 'same', lines: run })
    at = end
  }
  return hunks
}

/** How much changed: lines added and removed. */
export const extentOf = (lines: readonly DiffLine[]) => ({
  added: lines.filter((line) => line.change === 'added').length,
  removed: lines.filter((line) => line.change === 'removed').length,
})

/** Names that suggest themselves; any other will do. */
export const usualLabels = ['production', 'staging'] as const
export const isLabel = (text: string): boolean => /^[a-z][a-z0-9_-]{0,63}$/.test(text) && text !== 'latest'
