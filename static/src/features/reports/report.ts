// What a form holds of a report, the requests it becomes, and how a run's numbers are shown. Pure.
import type { components } from '@/api/schema'
import { formatAmount, formatMs, formatNumber, formatPercent, none } from '@/kit'

type Schemas = components['schemas']
export type Report = Schemas['Report']
export type Run = Schemas['ReportRun']
export type RunTold = Schemas['ReportRunTold']
export type Table = Schemas['ReportTable']
export type NewReport = Schemas['NewReport']
export type ReportChanges = Schemas['ReportChanges']
export type Filters = Schemas['ReportFilters']

/** The numbers there are, as statistics name them. */
export const numbers = [
  'request_count',
  'success_count',
  'error_count',
  'client_error_count',
  'rate_limited_count',
  'upstream_error_count',
  'cancelled_count',
  'success_rate',
  'total_prompt_tokens',
  'total_completion_tokens',
  'total_tokens',
  'total_cached_tokens',
  'total_cache_write_tokens',
  'total_reasoning_tokens',
  'estimated_count',
  'avg_duration_ms',
  'avg_ttft_ms',
  'p50_duration_ms',
  'p95_duration_ms',
  'p99_duration_ms',
  'p50_ttft_ms',
  'p95_ttft_ms',
  'p99_ttft_ms',
  'cost',
  'cost_usd',
  'cost_cny',
  'unpriced_count',
] as const
export type NumberName = (typeof numbers)[number]
export const groups = ['day', 'model', 'provider', 'token', 'account', 'tenant', 'app', 'user', 'mode'] as const
export const sorts = ['requests', 'tokens', 'cost', 'errors', 'duration'] as const
export const ranges = ['1d', '7d', '30d', '90d', 'last_week', 'last_month', 'this_month'] as const
export const cadences = ['never', 'day', 'week', 'month'] as const

export interface ReportDraft {
  name: string
  /** One of `ranges`, or `other`. */
  range: string
  /** With `other`: `14d`, or two dates. */
  written: string
  time_zone: string
  group_by: Report['group_by']
  sort: Report['sort']
  limit: number | null
  columns: string[]
  currency: '' | 'USD' | 'CNY'
  language: Report['language']
  filters: Required<{ [name in keyof Filters]: string }>
  every: (typeof cadences)[number]
  at: string
  weekday: string
  day: number | null
  channel_id: string
  enabled: boolean
}

const noFilters = (): ReportDraft['filters'] => ({
  provider: '',
  model: '',
  token_id: '',
  account_id: '',
  tenant_id: '',
  app: '',
  user: '',
  mode: '',
})

export const emptyDraft = (timeZone = '', language: Report['language'] = 'en'): ReportDraft => ({
  name: '',
  range: '7d',
  written: '',
  time_zone: timeZone,
  group_by: 'model',
  sort: 'requests',
  limit: 100,
  columns: ['request_count', 'total_tokens', 'cost'],
  currency: '',
  language,
  filters: noFilters(),
  every: 'never',
  at: '08:00',
  weekday: '1',
  day: 1,
  channel_id: '',
  enabled: true,
})

export function draftOf(report: Report): ReportDraft {
  const isNamed = (ranges as readonly string[]).includes(report.range)
  const filters = noFilters()
  for (const name of Object.keys(filters) as (keyof Filters)[]) filters[name] = report.filters[name] ?? ''
  const usual = emptyDraft()
  return {
    name: report.name,
    range: isNamed ? report.range : 'other',
    written: isNamed ? '' : report.range,
    time_zone: report.time_zone,
    group_by: report.group_by,
    sort: report.sort,
    limit: report.limit,
    columns: [...report.columns],
    currency: report.currency === 'USD' || report.currency === 'CNY' ? report.currency : '',
    language: report.language,
    filters,
    every: report.schedule?.every ?? 'never',
    at: report.schedule?.at ?? usual.at,
    weekday: String(report.schedule?.weekday ?? usual.weekday),
    day: report.schedule?.day ?? usual.day,
    channel_id: report.channel_id ?? '',
    enabled: report.enabled,
  }
}

/** The whole of what a form says. */
export function said(draft: ReportDraft) {
  const filters: Filters = {}
  for (const [name, value] of Object.entries(draft.filters))
    if (value.trim()) (filters as Record<string, string>)[name] = value.trim()
  return {
    name: draft.name.trim(),
    range: draft.range === 'other' ? draft.written.trim() : draft.range,
    time_zone: draft.time_zone.trim() || undefined,
    group_by: draft.group_by,
    sort: draft.sort,
    limit: draft.limit ?? undefined,
    // In the order of the statistics, whatever was ticked first.
    columns: numbers.filter((name) => draft.columns.includes(name)) as string[],
    currency: draft.currency || null,
    language: draft.language,
    filters,
    schedule:
      draft.every === 'never'
        ? null
        : {
            every: draft.every,
            at: draft.at.trim(),
            ...(draft.every === 'week' ? { weekday: Number(draft.weekday) } : {}),
            ...(draft.every === 'month' ? { day: draft.day ?? 1 } : {}),
          },
    channel_id: draft.channel_id || null,
    enabled: draft.enabled,
  }
}

export const creation = (draft: ReportDraft): NewReport => {
  const { currency, ...rest } = said(draft)
  return { ...rest, ...(currency ? { currency } : {}) }
}

/** Only what differs from `before`, so that two people may change different things. */
export function changes(before: ReportDraft, after: ReportDraft): ReportChanges {
  const [was, is] = [said(before), said(after)]
  const differs = ([key, value]: [string, unknown]) =>
    JSON.stringify(value) !== JSON.stringify(was[key as keyof typeof was])
  return Object.fromEntries(Object.entries(is).filter(differs))
}

/** A number of a run as people read it. */
export function shown(name: string, value: unknown, currency: string): string {
  if (value === null || value === undefined) return none
  const number = Number(value)
  if (name === 'success_rate') return formatPercent(number, 2)
  if (name.endsWith('_ms')) return formatMs(number)
  if (name === 'cost') return formatAmount(number, currency)
  if (name === 'cost_usd') return formatAmount(number, 'USD')
  if (name === 'cost_cny') return formatAmount(number, 'CNY')
  return formatNumber(number)
}

/** A number for a chart; null where there is none. */
export const plotted = (value: unknown): number | null => (value === null || value === undefined ? null : Number(value))
