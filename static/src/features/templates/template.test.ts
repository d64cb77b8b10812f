import { describe, expect, it } from 'vitest'
import { type Conflict, distributionOf, draftOf, meeting, outcomesOf, type Template, trimmed } from './template'

const conflict = (template_id: string, tenant_id: string, pair_version?: number) =>
  ({ template_id, tenant_id, pair_version }) as Conflict

describe('what a distribution asks for', () => {
  it('names every conflict that was shown, with the words it was decided on', () => {
    const shown = [conflict('a', 't1', 3), conflict('b', 't1', 1), conflict('a', 't2')]
    const chosen = { [meeting(shown[0]!)]: 'replace', [meeting(shown[1]!)]: '' } as const
    expect(distributionOf(['a', 'b'], null, 'keep', shown, chosen)).toEqual({
      template_ids: ['a', 'b'],
      all_tenants: true,
      on_conflict: 'keep',
      decisions: [
        { template_id: 'a', tenant_id: 't1', action: 'replace', pair_version: 3 },
        { template_id: 'b', tenant_id: 't1', action: 'keep', pair_version: 1 },
        // It was removed: there are no words that could have changed.
        { template_id: 'a', tenant_id: 't2', action: 'keep' },
      ],
    })
  })
  it('names tenants, or says that all are meant', () => {
    const some = distributionOf(['a'], ['t1'], 'skip', [], {})
    expect(some.tenant_ids).toEqual(['t1'])
    expect('all_tenants' in some).toBe(false)
    expect('tenant_ids' in distributionOf(['a'], null, 'skip', [], {})).toBe(false)
  })
})

describe('what became of each tenant', () => {
  it('leaves out what did not happen, and tells who was not reached', () => {
    const result = {
      tenants: [
        { tenant_id: 't1', tenant_name: 'One', outcome: 'done', counts: { created: 2, updated: 0, skipped: 1 } },
        { tenant_id: 't2', tenant_name: 'Two', outcome: 'failed', error: 'x' },
      ],
    }
    expect(outcomesOf(result)).toEqual([
      {
        tenant_id: 't1',
        tenant_name: 'One',
        failed: false,
        counts: [
          { kind: 'created', n: 2 },
          { kind: 'skipped', n: 1 },
        ],
      },
      { tenant_id: 't2', tenant_name: 'Two', failed: true, counts: [] },
    ])
  })
  it('is nothing before the job has ended', () => {
    for (const none of [null, undefined, {}, { tenants: 1 }]) expect(outcomesOf(none)).toEqual([])
  })
})

it('a draft is what the template says, without blanks around it', () => {
  const row = { question: 'Q', answer: 'A', category: '', id: 'tpl', revision: 1 } as Template
  expect(trimmed({ ...draftOf(row), answer: ' B \n' })).toEqual({ question: 'Q', answer: 'B', category: '' })
})
