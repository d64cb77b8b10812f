// Who used how much: the server's rankings as the rows of a table, and which calls a row stands for. Pure.
import type { components } from '@/api/schema'
import { type Cost, costOf } from '@/kit'

export type Item = components['schemas']['TopItem']
export const groups = ['model', 'provider', 'account', 'token', 'tenant', 'app', 'user', 'mode'] as const
export type Group = (typeof groups)[number]

export interface UsageRow {
  key: string
  id: string | null
  /** Empty: calls that belong to none. */
  name: string
  provider: string | null
  requests: number
  errors: number
  tokens: number
  cost: Cost
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
export function rowsOf(now: Ranking, earlier: Ranking): UsageRow[] {
  const before = new Map((earlier?.items ?? []).map((item) => [item.key, item]))
  const hadCalls = before.size > 0
  return (now?.items ?? []).map(rowOf).map((row) => ({
    ...row,
    shareBefore: hadCalls ? (before.get(row.key)?.share ?? 0) : null,
    requestsBefore: hadCalls ? (before.get(row.key)?.request_count ?? 0) : null,
  }))
}

const rowOf = (item: Item): UsageRow => ({
  key: item.key,
  id: item.id ?? null,
  name: item.name,
  provider: item.provider ?? null,
  requests: item.request_count,
  errors: item.error_count,
  tokens: item.total_tokens,
  cost: costOf(item),
  successRate: item.success_rate ?? null,
  p95: item.p95_duration_ms ?? null,
  share: item.share,
  shareBefore: null,
  requestsBefore: null,
})

export type Filter = Partial<Record<FilterKey, string>>
export const filterKeys = ['provider', 'model', 'token_id', 'account_id', 'tenant_id', 'app', 'user', 'mode'] as const
export type FilterKey = (typeof filterKeys)[number]

/** What numbers are kept for together; anything else stands alone. */
const families: readonly (readonly FilterKey[])[] = [
  ['provider', 'model'],
  ['token_id', 'account_id', 'mode', 'model'],
  ['user', 'mode'],
  ['tenant_id'],
  ['app'],
]
const fits = (keys: readonly FilterKey[]): boolean =>
  families.some((family) => keys.every((key) => family.includes(key)))

const keyOf: Record<Group, FilterKey> = {
  model: 'model',
  provider: 'provider',
  account: 'account_id',
  token: 'token_id',
  tenant: 'tenant_id',
  app: 'app',
  user: 'user',
  mode: 'mode',
}
const keysOf = (filter: Filter) => Object.keys(filter) as FilterKey[]

/** The filter that is exactly a row's calls; null for calls that belong to none, which no filter finds. */
export function filterOf(group: Group, row: Pick<UsageRow, 'id' | 'name' | 'provider'>): Filter | null {
  switch (group) {
    case 'model':
      return row.name ? { model: row.name, ...(row.provider ? { provider: row.provider } : {}) } : null
    case 'account':
    case 'token':
    case 'tenant':
      return row.id ? { [keyOf[group]]: row.id } : null
    default:
      return row.name ? { [keyOf[group]]: row.name } : null
  }
}

/** `filter` with `more` as well: what numbers are not kept for together with it goes. */
export function narrowed(filter: Filter, more: Filter): Filter {
  const added = keysOf(more)
  let kept = keysOf(filter).filter((key) => !added.includes(key))
  while (!fits([...kept, ...added]) && kept.length > 0) {
    // The one that fits least with what is asked for goes first.
    const alone = kept.find((key) => !fits([key, ...added])) ?? kept[0]
    kept = kept.filter((key) => key !== alone)
  }
  return { ...Object.fromEntries(kept.map((key) => [key, filter[key]])), ...more }
}

/** What of a filter a group is ranked under: not its own key, and all or nothing of the rest. */
export function rankedUnder(group: Group, filter: Filter): Filter {
  const own = group === 'model' ? ['model', 'provider'] : [keyOf[group]]
  const rest = keysOf(filter).filter((key) => !own.includes(key))
  return fits([...rest, keyOf[group]]) ? Object.fromEntries(rest.map((key) => [key, filter[key]])) : {}
}

const hoursKeptMs = 30 * 86_400_000

/** Hours are kept of models for good, of keys, accounts and modes for some weeks; of everything else there are days only. */
export function hasHours(filter: Filter, fromMs: number, nowMs: number): boolean {
  const keys = keysOf(filter)
  const within = (family: readonly FilterKey[]) => keys.every((key) => family.includes(key))
  return within(families[0]!) || (within(families[1]!) && nowMs - fromMs <= hoursKeptMs)
}

export const sameFilter = (a: Filter | null, b: Filter): boolean =>
  a !== null && filterKeys.every((key) => (a[key] ?? '') === (b[key] ?? ''))

/** The columns a table can be sorted by. */
const sortable = ['name', 'requests', 'errors', 'tokens', 'cost', 'successRate', 'p95', 'share'] as const
export function sorted(rows: readonly UsageRow[], sort: string): UsageRow[] {
  const descending = sort.startsWith('-')
  const key = sortable.find((one) => one === sort.replace(/^-/, '')) ?? 'requests'
  const value = (row: UsageRow): string | number | null =>
    key === 'cost' ? (row.cost.total ? Number(row.cost.total.amount) : null) : row[key]
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)]
    // What is unknown stands last, whichever way.
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1
    const order = typeof a === 'string' && typeof b === 'string' ? a.localeCompare(b) : Number(a) - Number(b)
    return descending ? -order : order
  })
}

/** What the server ranks by, so that those that lead are among the rows; it knows some of the columns. */
export const rankedBy = (sort: string): 'requests' | 'tokens' | 'cost' | 'errors' =>
  (['tokens', 'cost', 'errors'] as const).find((one) => sort === `-${one}`) ?? 'requests'

const clockChangeMs = 2 * 3_600_000

/** The equally many whole days before those that a ranking counted. Days are not all 24 hours long: asked a little into the first one. */
export function daysBefore(counted: { from: string; to: string }): { from: string; to: string } {
  const [from, to] = [Date.parse(counted.from), Date.parse(counted.to)]
  return { from: new Date(from - (to - from) + clockChangeMs).toISOString(), to: new Date(from).toISOString() }
}
