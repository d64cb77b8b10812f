import { expect, it } from 'vitest'
import { choicesOf, columnsOf, type Import, isBusy, isOpen, letter, runOf } from './import'

const file = {
  suggestion: { has_header: true, question: 1, answer: 2, category: null, quality_score: 0 },
  sample: [
    { row: 1, cells: ['质量', '问题', ''] },
    { row: 2, cells: ['1', 'Q', 'A', 'x'] },
  ],
} as unknown as Import

it('names columns as spreadsheets do', () => {
  expect([0, 25, 26, 51, 52, 701, 702].map(letter)).toEqual(['A', 'Z', 'AA', 'AZ', 'BA', 'ZZ', 'AAA'])
  expect(columnsOf(file, true).map((one) => one.label)).toEqual(['A · 质量', 'B · 问题', 'C', 'D'])
  expect(columnsOf(file, false)[1]).toEqual({ value: '1', label: 'B' })
})
it('sends what was suggested unless it was changed, and no column as none', () => {
  const choices = choicesOf(file)
  expect(runOf({ ...choices, quality: '', otherwise: ' 价格 ', existing: 'replace' }, true)).toEqual({
    dry_run: true,
    mapping: { has_header: true, question: 1, answer: 2, category: null, quality_score: null },
    existing: 'replace',
    category: '价格',
  })
})
it('comes back to what was asked for the last time', () => {
  const asked = runOf({ ...choicesOf(file), answer: '3', otherwise: '价格', existing: 'replace' }, true)
  const tried = { ...file, job: { state: 'succeeded', params: { import: 'imp_1', ...asked } } } as unknown as Import
  expect(runOf(choicesOf(tried), true)).toEqual(asked)
})
it('knows whether a job works on it and whether anything is left', () => {
  const having = (state: string) => ({ ...file, job: { state } }) as Import
  expect([isBusy(file), isBusy(having('running')), isBusy(having('cancelled')), isBusy(null)]).toEqual([
    false,
    true,
    false,
    false,
  ])
  expect(isOpen(file)).toBe(true)
  expect(isOpen({ ...file, ended_at: '2026-01-01T00:00:00.000Z' })).toBe(false)
  expect(isOpen({ ...file, sample: [] })).toBe(false)
})
