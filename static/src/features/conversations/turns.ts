// A kept call as turns a person can read, whichever dialect it was said in; and a text as prose and code. Pure.
import type { components } from '@/api/schema'

export type Detail = components['schemas']['ConversationDetail']

export type Role = 'system' | 'user' | 'assistant' | 'tool'
export interface ToolCall {
  name: string
  /** JSON where the model wrote JSON. */
  input: string
}
/** A tool the model was offered. */
export interface Offered {
  name: string
  description: string
  /** What it takes, or all that is told of it where a provider runs it by itself; JSON. */
  takes: string
}
export interface Turn {
  role: Role
  text: string
  calls: ToolCall[]
  /** The answer of this call, as against what was sent along. */
  answer?: boolean
}

type Fields = Record<string, unknown>
const fields = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
const word = (value: unknown): string => (typeof value === 'string' ? value : '')
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

/** JSON over several lines where it is JSON, else as it is. */
export function readable(value: unknown): string {
  if (typeof value !== 'string') return value === undefined ? '' : JSON.stringify(value, null, 2)
  try {
    const parsed: unknown = JSON.parse(value)
    return typeof parsed === 'object' && parsed !== null ? JSON.stringify(parsed, null, 2) : value
  } catch {
    return value
  }
}

/** The text of a content: a text, or its parts. What is neither text nor a tool's is named in brackets. */
function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (Array.isArray(content)) return content.map(textOf).filter(Boolean).join('\n\n')
  const part = fields(content)
  const text = part.text ?? part.content ?? part.output ?? part.refusal ?? part.thinking
  if (text !== undefined) return textOf(text)
  const kind = word(part.type)
  return kind && kind !== 'tool_use' ? `[${kind}]` : ''
}

function callOf(value: unknown): ToolCall {
  const call = fields(value)
  const inner = call.function === undefined ? call : fields(call.function)
  return { name: word(inner.name) || '?', input: readable(inner.arguments ?? inner.input) }
}

export function offeredOf(tools: Detail['tools']): Offered[] {
  return tools.map((value) => {
    const told = fields(value)
    const tool = told.function ?? told.custom
    const inner = tool === undefined ? told : fields(tool)
    const name = word(inner.name)
    return {
      name: name || word(inner.type) || '?',
      description: word(inner.description),
      takes: readable(inner.parameters ?? inner.input_schema ?? (name ? undefined : inner)),
    }
  })
}

function roleOf(message: Fields): Role {
  switch (word(message.type)) {
    case 'function_call':
    case 'custom_tool_call':
      return 'assistant'
    case 'function_call_output':
    case 'custom_tool_call_output':
      return 'tool'
  }
  switch (word(message.role)) {
    case 'system':
    case 'developer':
      return 'system'
    case 'assistant':
      return 'assistant'
    case 'tool':
    case 'function':
      return 'tool'
    default:
      return 'user'
  }
}

function turnOf(value: unknown): Turn[] {
  if (typeof value === 'string') return value ? [{ role: 'user', text: value, calls: [] }] : []
  const message = fields(value)
  const role = roleOf(message)
  const parts = list(message.content).map(fields)
  const results = parts.filter((part) => part.type === 'tool_result')
  const said = parts.length > 0 ? parts.filter((part) => part.type !== 'tool_result') : message.content
  const isCall = ['function_call', 'custom_tool_call'].includes(word(message.type))
  const calls = isCall
    ? [callOf(message)]
    : [...list(message.tool_calls), ...parts.filter((part) => part.type === 'tool_use')].map(callOf)
  const text = isCall ? '' : textOf(said ?? message.output)
  return [
    // Anthropic's tools answer within the user's message.
    ...results.map((part): Turn => ({ role: 'tool', text: textOf(part.content), calls: [] })),
    ...(text || calls.length > 0 ? [{ role, text, calls }] : []),
  ]
}

export function turnsOf(
  kept: Pick<Detail, 'system_prompt' | 'messages' | 'prompt' | 'completion' | 'tool_calls'>,
): Turn[] {
  const sent = kept.messages.flatMap(turnOf)
  const turns: Turn[] = []
  if (kept.system_prompt && !sent.some((turn) => turn.role === 'system')) {
    turns.push({ role: 'system', text: kept.system_prompt, calls: [] })
  }
  turns.push(...sent)
  // The messages did not fit, the prompt did.
  if (sent.length === 0 && kept.prompt) turns.push({ role: 'user', text: kept.prompt, calls: [] })
  const calls = kept.tool_calls.map(callOf)
  if (kept.completion || calls.length > 0) {
    turns.push({ role: 'assistant', text: kept.completion, calls, answer: true })
  }
  return turns
}

export type Language = 'bash' | 'python' | 'javascript' | 'json'
const languages: Record<string, Language> = {
  sh: 'bash',
  bash: 'bash',
  shell: 'bash',
  console: 'bash',
  py: 'python',
  python: 'python',
  js: 'javascript',
  javascript: 'javascript',
  ts: 'javascript',
  typescript: 'javascript',
  json: 'json',
}
export type Piece = { code: false; text: string } | { code: true; text: string; language?: Language }

/** Prose and fenced code in turn. A fence that is never closed runs to the end: the answer was cut there. */
export function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = []
  let prose: string[] = []
  let code: { fence: string; language?: Language; lines: string[] } | null = null
  const flush = () => {
    const joined = prose.join('\n')
    if (joined.trim()) pieces.push({ code: false, text: joined })
    prose = []
  }
  const close = (block: { language?: Language; lines: string[] }) =>
    pieces.push({ code: true, text: block.lines.join('\n'), ...(block.language ? { language: block.language } : {}) })
  for (const line of text.split('\n')) {
    if (code) {
      if (line.startsWith(code.fence) && /^[`~]+\s*$/.test(line)) {
        close(code)
        code = null
      } else code.lines.push(line)
      continue
    }
    const opening = /^(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/.exec(line)
    if (opening) {
      flush()
      const language = languages[opening[2]!.toLowerCase()]
      code = { fence: opening[1]!, lines: [], ...(language ? { language } : {}) }
    } else prose.push(line)
  }
  if (code) close(code)
  flush()
  return pieces
}
