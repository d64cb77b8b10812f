import { describe, expect, it } from 'vitest'
import { type Command, fitting, requestIdIn } from './commands'
import { notices } from './notices'

const command = (label: string, also?: string): Command => ({
  id: label,
  group: 'g',
  label,
  also,
  run: () => undefined,
})
const labels = (typed: string, ...commands: Command[]) => fitting(commands, typed).map((one) => one.label)

describe('the palette', () => {
  it('finds by every typed word, in any order and case', () => {
    const all = [command('API keys'), command('Create an API key'), command('Accounts', 'provider keys')]
    expect(labels('KEY create', ...all)).toEqual(['Create an API key'])
    expect(labels('provider', ...all)).toEqual(['Accounts'])
    expect(labels('nothing like it', ...all)).toEqual([])
  })

  it('puts what begins so first, and keeps the order otherwise', () => {
    const all = [command('The accounts'), command('Audit'), command('Accounts')]
    expect(labels('acc', ...all)).toEqual(['Accounts', 'The accounts'])
    expect(labels('', ...all)).toEqual(['The accounts', 'Audit', 'Accounts'])
  })

  it('knows a request id in what was pasted', () => {
    const id = '0198A0B1-0000-7000-8000-0123456789ab'
    expect(requestIdIn(`x-request-id: ${id}.`)).toBe(id.toLowerCase())
    expect(requestIdIn('0198a0b1-0000')).toBeNull()
  })
})

describe('the bell', () => {
  type Known = Parameters<typeof notices>[0]
  const nowMs = Date.parse('2026-03-04T12:00:00Z')
  const rings = (known: object) =>
    notices({ ...known, nowMs } as unknown as Known).map(({ key, count }) => `${key} ${count}`)
  const job = (hours: number) => ({ finished_at: new Date(nowMs - hours * 3_600_000).toISOString() })
  const account = (enabled: boolean, state: string, unusable_reason: string | null = null) => ({
    enabled,
    breaker: { state },
    unusable_reason,
  })

  it('is silent while nothing is known, and while all is well', () => {
    expect(rings({})).toEqual([])
    const ledger = { balanced: true, dropped: 0, dead_lettered: 0 }
    const tree = { kind: 'supervisor', state: 'failed', children: [{ kind: 'actor', state: 'running', children: [] }] }
    expect(rings({ ledger, tree, accounts: [account(true, 'closed')], failedJobs: [] })).toEqual([])
  })

  it('rings for what the books lost', () => {
    expect(rings({ ledger: { balanced: false, dropped: 3, dead_lettered: 2 } })).toEqual([
      'unbalanced 1',
      'dropped 3',
      'deadLetters 2',
    ])
  })

  it('counts actors out of order anywhere in the tree', () => {
    const leaf = (state: string) => ({ kind: 'actor', state, children: [] })
    const group = {
      kind: 'supervisor',
      state: 'running',
      children: [leaf('failed'), leaf('backing_off'), leaf('running')],
    }
    expect(rings({ tree: { kind: 'supervisor', state: 'running', children: [group, leaf('stopped')] } })).toEqual([
      'troubledActors 3',
    ])
  })

  it('counts accounts that should work and do not', () => {
    const accounts = [account(true, 'open'), account(false, 'open'), account(true, 'closed', 'key_unreadable')]
    expect(rings({ accounts })).toEqual(['brokenAccounts 2'])
  })

  it('takes a job that failed longer than a day ago for history', () => {
    expect(rings({ failedJobs: [job(23), job(25), { finished_at: null }] })).toEqual(['failedJobs 1'])
  })
})
