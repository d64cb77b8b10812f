import { describe, expect, it } from 'vitest'
import {
  contentOf,
  type DiffLine,
  draftOf,
  emptyDraft,
  extentOf,
  hunksOf,
  isLabel,
  parametersOf,
  piecesOf,
  textOf,
  variablesOf,
  type Version,
} from './prompt'

describe('variables', () => {
  it('are what the server takes for variables, blanks within the braces or not', () => {
    expect(piecesOf('Hi {{ name }}, {{no blank}} {{}} {{x_1}}!')).toEqual([
      { kind: 'text', text: 'Hi ' },
      { kind: 'variable', text: 'name' },
      { kind: 'text', text: ', {{no blank}} {{}} ' },
      { kind: 'variable', text: 'x_1' },
      { kind: 'text', text: '!' },
    ])
    expect(piecesOf('')).toEqual([])
  })
  it('are each told once', () => {
    const messages = ['{{a}} {{b}}', '{{b}}'].map((content) => ({ role: 'user' as const, content }))
    expect(variablesOf(messages)).toEqual(['a', 'b'])
  })
})

describe('a draft', () => {
  const version = {
    messages: [{ role: 'system', content: 'Be brief.' }],
    model: null,
    parameters: { temperature: 0.3 },
  } as unknown as Version
  const draft = draftOf({ name: 'a', description: 'b' }, version)

  it('begun from a version says what the version says', () => {
    expect(contentOf(draft)).toEqual({ ...version, message: '' })
    expect(textOf(contentOf(draft))).toBe(textOf(version))
  })
  it('does not change the version it was begun from', () => {
    draft.messages[0]!.content = 'Be long.'
    expect(version.messages[0]?.content).toBe('Be brief.')
  })
  it('takes parameters as a JSON object or not at all', () => {
    expect(parametersOf(' ')).toEqual({})
    expect(parametersOf('{"top_p": 1}')).toEqual({ top_p: 1 })
    expect(['[1]', '3', 'null', '{'].map(parametersOf)).toEqual([null, null, null, null])
    expect(contentOf({ ...emptyDraft(), model: ' gpt-4o ' })).toMatchObject({ model: 'gpt-4o', parameters: {} })
  })
})

it('a version as one text has its parameters in order, then its messages', () => {
  const messages = [
    { role: 'system' as const, content: 'Be brief.\n\n' },
    { role: 'user' as const, content: '{{question}}' },
  ]
  expect(textOf({ model: 'gpt-4o', parameters: { top_p: 1, a: 'x' }, messages })).toBe(
    'model: gpt-4o\na: "x"\ntop_p: 1\n\n# system\nBe brief.\n\n# user\n{{question}}\n',
  )
})

describe('a comparison', () => {
  const line = (change: DiffLine['change'], text: string): DiffLine => ({
    change,
    before: 1,
    after: 1,
    words: [{ text, changed: false }],
  })
  const kept = (count: number) => Array.from({ length: count }, (_, index) => line('kept', `${index}`))
  const shape = (lines: DiffLine[]) => hunksOf(lines, 2).map((hunk) => [hunk.kind, hunk.lines.length])

  it('folds what lies far from a change', () => {
    expect(shape([...kept(10), line('removed', 'a'), line('added', 'b'), ...kept(10)])).toEqual([
      ['same', 8],
      ['lines', 6],
      ['same', 8],
    ])
  })
  it('does not fold a single line: telling so takes as much room', () => {
    expect(shape([...kept(3), line('added', 'b')])).toEqual([['lines', 4]])
  })
  it('loses no line', () => {
    const lines = [...kept(5), line('added', 'x'), ...kept(9), line('removed', 'y'), ...kept(1)]
    expect(hunksOf(lines).flatMap((hunk) => hunk.lines)).toEqual(lines)
  })
  it('is all folded when nothing changed', () => expect(shape(kept(4))).toEqual([['same', 4]]))
  it('knows its extent', () =>
    expect(extentOf([line('added', 'a'), line('added', 'b'), line('removed', 'c'), ...kept(2)])).toEqual({
      added: 2,
      removed: 1,
    }))
})

it.each([
  ['production', true],
  ['v-2_beta', true],
  ['Production', false],
  ['2nd', false],
  ['latest', false],
  ['', false],
  ['a'.repeat(65), false],
])('“%s” as a label: %s', (text, fits) => expect(isLabel(text)).toBe(fits))
