import { describe, expect, it } from 'vitest'
import { draftOf, emptyDraft, labelsText, requestOf, type Rule } from './alert'

describe('a rule in a form', () => {
  it('becomes what it was', () => {
    const draft = { ...emptyDraft(), name: ' slow ', condition: ' p95_latency_ms > 100 ', split_by: 'model' }
    const request = requestOf(draft)
    expect(request).toMatchObject({ name: 'slow', condition: 'p95_latency_ms > 100', split_by: ['model'] })
    expect(draftOf(request as unknown as Rule)).toEqual({ ...draft, name: 'slow', condition: 'p95_latency_ms > 100' })
  })
  it('without a label makes one series', () => {
    expect(requestOf(emptyDraft()).split_by).toEqual([])
  })
})

it('labels are told in one line', () => {
  expect(labelsText({ app: 'shop', model: 'gpt-4o' })).toBe('app=shop · model=gpt-4o')
})
