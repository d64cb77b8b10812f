// Who used how much: the server's rankings as the rows of a table, and which calls a row stands for. Pure.
import type { components } from '@/api/schema'

export type Item = components['schemas']['TopItem']
export const groups = ['model', 'provider', 'account', 'token', 'tenant', 'app'] as const
export type Group = (typeof groups)[number]
/** What the server ranks; providers are added up from models. */
export type Ranked = Exclude<Group, 'provider'>
export const rankedOf = (group: Group): Ranked => (group === 'provider' ? 'model' : group)

export interface UsageRow {
  key: string
  id: string | null
  /** Empty: calls that belong to none. */
  name: string
  provider: string | null
  requests: number
  errors: number
  tokens: number
  /** Between 0 and 1; null without calls. */
  successRate: number | null
  /** Null where it cannot be told of a sum. */
  p95: number | null
  /** Of all calls, between 0 and 1. */
  share: number
  /** The share in the period before; null when there was none to compare with. */
  shareBefore: number | null
  requestsBefore: number | null
}

type Ranking = { items: readonly Item[] } | undefined

/** The rows of a group. `earlier` is the same ranking of the period before. */
export function rowsOf(group: Group, now: Ranking, earlier: Ranking): UsageRow[] {
  const before = new Map(folded(group, earlier?.items ?? []).map((row) => [row.key, row]))
  const hadCalls = before.size > 0
  return folded(group, now?.items ?? []).map((row) => ({
    ...row,
    shareBefore: hadCalls ? (before.get(row.key)?.share ?? 0) : null,
    requestsBefore: hadCalls ? (before.get(row.key)?.requests ?? 0) : null,
  }))
}

function folded(group: Group, items: readonly Item[]): UsageRow[] {
  const rows = items.map(rowOf)
  if (group !== 'provider') return rows
  const sums = new Map<string, UsageRow>()
  for (const row of rows) {
    const name = row.provider ?? ''
    const sum = sums.get(name)
    if (!sum) sums.set(name, { ...row, key: name, name, id: null, p95: null })
    else {
      sum.requests += row.requests
      sum.errors += row.errors
      sum.tokens += row.tokens
      sum.share += row.share
    }
  }
  for (const sum of sums.values()) {
    sum.successRate = sum.requests > 0 ? (sum.requests - sum.errors) / sum.requests : null
  }
  return [...sums.values()].sort((a, b) => b.requests - a.requests)
}

const rowOf = (item: Item): UsageRow => ({
  key: item.key,
  id: item.id ?? null,
  name: item.name,
  provider: item.provider ?? null,
  requests: item.request_count,
  errors: item.error_count,
  tokens: item.total_tokens,
  successRate: item.success_rate ?? null,
  p95: item.p95_duration_ms ?? null,
  share: item.share,
  shareBefore: null,
  requestsBefore: null,
})

export type Filter = Partial<Record<FilterKey, string>>
export const filterKeys = ['provider', 'model', 'token_id', 'account_id', 'tenant_id', 'app'] as const
export type FilterKey = (typeof filterKeys)[number]

/** The filter that is exactly a row's calls; null for calls that belong to none, which no filter finds. */
export function filterOf(group: Group, row: Pick<UsageRow, 'id' | 'name' | 'provider'>): Filter | null {
  switch (group) {
    case 'model':
      return row.name && row.provider ? { provider: row.provider, model: row.name } : null
    case 'provider':
      return row.name ? { provider: row.name } : null
    case 'app':
      return row.name ? { app: row.name } : null
    default:
      return row.id ? ({ [`${group}_id`]: row.id } as Filter) : null
  }
}

/** Provider and model go together; everything else stands alone. What cannot stay beside `key` goes. */
export function besides(key: FilterKey, filter: Filter): Filter {
  const together: readonly FilterKey[] = key === 'provider' || key === 'model' ? ['provider', 'model'] : [key]
  return Object.fromEntries(Object.entries(filter).filter(([name]) => together.includes(name as FilterKey)))
}

/** Of a token, an account, a tenant or an app only days are kept. */
export const hasHours = (filter: Filter): boolean =>
  Object.keys(filter).every((key) => key === 'provider' || key === 'model')

export const sameFilter = (a: Filter | null, b: Filter): boolean =>
  a !== null && filterKeys.every((key) => (a[key] ?? '') === (b[key] ?? ''))

/** The columns a table can be sorted by. */
const sortable = ['name', 'requests', 'errors', 'tokens', 'successRate', 'p95', 'share'] as const
export function sorted(rows: readonly UsageRow[], sort: string): UsageRow[] {
  const descending = sort.startsWith('-')
  const key = sortable.find((one) => one === sort.replace(/^-/, '')) ?? 'requests'
  const value = (row: UsageRow) => row[key]
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)]
    // What is unknown stands last, whichever way.
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1
    const order = typeof a === 'string' && typeof b === 'string' ? a.localeCompare(b) : Number(a) - Number(b)
    return descending ? -order : order
  })
}

const clockChangeMs = 2 * 3_600_000

/** The equally many whole days before those that a ranking counted. Days are not all 24 hours long: asked a little into the first one. */
export function daysBefore(counted: { from: string; to: string }): { from: string; to: string } {
  const [from, to] = [Date.parse(counted.from), Date.parse(counted.to)]
  return { from: new Date(from - (to - from) + clockChangeMs).toISOString(), to: new Date(from).toISOString() }
}
