import { describe, expect, it } from 'vitest'
import { changes, creation, draftOf, emptyDraft, type Rule } from './rule'

describe('a rule from a form', () => {
  it('keeps the blanks of a pattern and no others', () => {
    const draft = { name: ' case ', pattern: ' AB-\\d+ ', replacement: ' [case] ', enabled: true }
    expect(creation(draft)).toEqual({ name: 'case', pattern: ' AB-\\d+ ', replacement: '[case]', enabled: true })
  })
  it('changes only what was changed', () => {
    const before = draftOf({ ...emptyDraft(), id: 'rul_1', name: 'a', pattern: 'b', version: 3 } as unknown as Rule)
    expect(changes(before, { ...before })).toEqual({})
    expect(changes(before, { ...before, enabled: false, pattern: 'c' })).toEqual({ enabled: false, pattern: 'c' })
  })
})
