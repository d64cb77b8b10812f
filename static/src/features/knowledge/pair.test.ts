import { expect, it } from 'vitest'
import { creation, draftOf, emptyDraft, joined, type Pair, scoreOf, textOf } from './pair'

it('takes a score between 0 and 1, or none', () => {
  expect(['', ' ', '0', '0.82', '1', '1.1', '-1', 'good'].map(scoreOf)).toEqual([
    null,
    null,
    0,
    0.82,
    1,
    undefined,
    undefined,
    undefined,
  ])
})
it('sends what was typed without blanks around it, and a score that was taken away', () => {
  const pair = { tenant_id: 'ten_1', question: 'Q', answer: 'A', category: '', quality_score: 0.5 } as Pair
  expect(draftOf(pair).quality).toBe('0.5')
  expect(textOf({ ...draftOf(pair), quality: '', answer: ' B\n' })).toEqual({
    question: 'Q',
    answer: 'B',
    category: '',
    quality_score: null,
  })
})
it('names the tenant where there is one to choose', () => {
  expect(creation(emptyDraft('ten_1'), true)).toMatchObject({ tenant_id: 'ten_1', allow_duplicate: true })
  expect('tenant_id' in creation(emptyDraft(), false)).toBe(false)
})
it('joins what several answer, each once', () => {
  const draft = (answer: string, category = '', quality = '') => ({ ...emptyDraft('ten_1'), answer, category, quality })
  expect(joined([draft('A'), draft('B', '价格', '0.5'), draft(' A ', 'x', '1')])).toEqual(
    draft('A\n\nB', '价格', '0.5'),
  )
})
