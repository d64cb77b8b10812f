// What the bell rings for. Pure.
import type { components } from '../api/schema'

type Schemas = components['schemas']
export interface Notice {
  key: 'unbalanced' | 'dropped' | 'deadLetters' | 'brokenAccounts' | 'troubledActors' | 'failedJobs'
  count: number
  to: string
}
/** A job that failed longer ago is history, not news. */
const newsMs = 24 * 3600 * 1000

export function notices(known: {
  ledger?: Schemas['LossLedger']
  tree?: Schemas['TreeNode']
  accounts?: Schemas['AccountShown'][]
  failedJobs?: Schemas['JobView'][]
  nowMs: number
}): Notice[] {
  const found: Notice[] = []
  const add = (key: Notice['key'], count: number, to: string) => {
    if (count > 0) found.push({ key, count, to })
  }
  const { ledger, tree, accounts, failedJobs } = known
  if (ledger) {
    add('unbalanced', ledger.balanced ? 0 : 1, '/supervision')
    add('dropped', ledger.dropped, '/supervision')
    add('deadLetters', ledger.dead_lettered, '/supervision')
  }
  if (tree) {
    const troubled = (node: Schemas['TreeNode']): number =>
      (node.kind === 'actor' && ['backing_off', 'failed', 'stopped'].includes(node.state) ? 1 : 0) +
      node.children.reduce((sum, child) => sum + troubled(child), 0)
    add('troubledActors', troubled(tree), '/supervision')
  }
  add(
    'brokenAccounts',
    accounts?.filter((account) => account.enabled && (account.breaker.state !== 'closed' || account.unusable_reason))
      .length ?? 0,
    '/accounts',
  )
  add(
    'failedJobs',
    failedJobs?.filter((job) => job.finished_at && known.nowMs - Date.parse(job.finished_at) < newsMs).length ?? 0,
    '/jobs?state=failed',
  )
  return found
}
