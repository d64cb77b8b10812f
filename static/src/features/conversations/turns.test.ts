import { describe, expect, it } from 'vitest'
import { offeredOf, piecesOf, readable, turnsOf } from './turns'

type Kept = Parameters<typeof turnsOf>[0]
const kept = (more: object): Kept =>
  ({ system_prompt: '', messages: [], prompt: '', completion: '', tool_calls: [], ...more }) as Kept
const told = (more: object) =>
  turnsOf(kept(more)).map(({ role, text, calls }) => [role, text, ...calls.map((call) => call.name)])

describe('turns', () => {
  it('are read from a chat with tools and pictures', () => {
    expect(
      told({
        system_prompt: 'Be brief.',
        messages: [
          { role: 'system', content: 'Be brief.' },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'What is this?' },
              { type: 'image_url', image_url: { url: '[9 bytes left out]' } },
            ],
          },
          { role: 'assistant', content: null, tool_calls: [{ id: 'c', function: { name: 'look', arguments: '{}' } }] },
          { role: 'tool', tool_call_id: 'c', content: 'a cat' },
        ],
        completion: 'A cat.',
      }),
    ).toEqual([
      ['system', 'Be brief.'],
      ['user', 'What is this?\n\n[image_url]'],
      ['assistant', '', 'look'],
      ['tool', 'a cat'],
      ['assistant', 'A cat.'],
    ])
  })

  it('are read from Anthropic messages, whose tools answer as the user', () => {
    expect(
      told({
        system_prompt: 'Be brief.',
        messages: [
          { role: 'user', content: 'Weather?' },
          {
            role: 'assistant',
            content: [
              { type: 'text', text: 'Let me look.' },
              { type: 'tool_use', id: 't', name: 'weather', input: { city: 'Zürich' } },
            ],
          },
          {
            role: 'user',
            content: [
              { type: 'tool_result', tool_use_id: 't', content: [{ type: 'text', text: 'sunny' }] },
              { type: 'text', text: 'And tomorrow?' },
            ],
          },
        ],
        tool_calls: [{ id: 'u', name: 'weather', arguments: '{"day":1}' }],
      }),
    ).toEqual([
      ['system', 'Be brief.'],
      ['user', 'Weather?'],
      ['assistant', 'Let me look.', 'weather'],
      ['tool', 'sunny'],
      ['user', 'And tomorrow?'],
      ['assistant', '', 'weather'],
    ])
  })

  it('are read from responses', () => {
    expect(
      told({
        messages: [
          { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Weather?' }] },
          { type: 'function_call', call_id: 'c', name: 'weather', arguments: '{}' },
          { type: 'function_call_output', call_id: 'c', output: 'sunny' },
        ],
        completion: 'Sunny.',
      }),
    ).toEqual([
      ['user', 'Weather?'],
      ['assistant', '', 'weather'],
      ['tool', 'sunny'],
      ['assistant', 'Sunny.'],
    ])
  })

  it('fall back to the prompt when the messages did not fit, and survive anything', () => {
    expect(told({ prompt: 'Only this' })).toEqual([['user', 'Only this']])
    expect(told({})).toEqual([])
    expect(told({ messages: ['plain', null, 7, { role: 'user' }, { content: { a: 1 } }] })).toEqual([['user', 'plain']])
  })

  it('mark the answer', () => {
    const turns = turnsOf(kept({ messages: [{ role: 'assistant', content: 'before' }], completion: 'now' }))
    expect(turns.map((turn) => turn.answer ?? false)).toEqual([false, true])
  })

  it('show arguments as JSON where they are', () => {
    expect(readable('{"a":1}')).toBe('{\n  "a": 1\n}')
    expect(readable('{"a":')).toBe('{"a":')
    expect(readable({ a: 1 })).toBe('{\n  "a": 1\n}')
    expect(readable('7')).toBe('7')
  })
})

describe('tools that were offered', () => {
  const schema = { type: 'object' }
  const of = (...tools: unknown[]) => offeredOf(tools as Parameters<typeof offeredOf>[0])
  it('are told alike in every dialect', () => {
    const weather = { name: 'weather', description: 'Of a city.' }
    for (const tool of [
      { type: 'function', function: { ...weather, parameters: schema } },
      { type: 'function', ...weather, parameters: schema },
      { ...weather, input_schema: schema },
    ]) {
      expect(of(tool)).toEqual([{ ...weather, takes: '{\n  "type": "object"\n}' }])
    }
  })
  it('have a name, whatever they are', () => {
    const told = of({ type: 'custom', custom: { name: 'sql' } }, { type: 'web_search' }, 'odd')
    expect(told.map(({ name, takes }) => [name, takes])).toEqual([
      ['sql', ''],
      ['web_search', '{\n  "type": "web_search"\n}'],
      ['?', '{}'],
    ])
  })
})

describe('prose and code', () => {
  it('are told apart by fences', () => {
    expect(piecesOf('Try:\n```py\nprint(1)\n```\nDone.')).toEqual([
      { code: false, text: 'Try:' },
      { code: true, text: 'print(1)', language: 'python' },
      { code: false, text: 'Done.' },
    ])
  })
  it('keep a fence within a longer one, and one that was cut', () => {
    expect(piecesOf('````\n```\nx\n````')).toEqual([{ code: true, text: '```\nx' }])
    expect(piecesOf('a\n```rust\nfn main() {')).toEqual([
      { code: false, text: 'a' },
      { code: true, text: 'fn main() {' },
    ])
    expect(piecesOf('with ```inline``` ticks')).toEqual([{ code: false, text: 'with ```inline``` ticks' }])
  })
})
