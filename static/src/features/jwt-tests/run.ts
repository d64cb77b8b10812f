// Runs of the test bench: what a form asks for, what is drawn of them, how two differ. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Run = Schemas['JwtTestShown']
export type RunDetail = Schemas['JwtTestDetail']
export type Result = Schemas['JwtTestResult']
export type Summary = Schemas['JwtTestSummary']
export type NewRun = Schemas['NewJwtTest']
type Bucket = Schemas['JwtTestBucket']

export const calls = ['none', 'models', 'chat', 'messages'] as const
export type Call = (typeof calls)[number]
export const steps = ['issue', 'verify', 'call'] as const
export type Step = (typeof steps)[number]
export const states = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const
export const stateOf = (word: string) => states.find((one) => one === word) ?? 'failed'
export const isEnded = (run: Pick<Run, 'state'>): boolean => !['queued', 'running'].includes(run.state)

export interface RunDraft {
  issuer_id: string
  count: number | null
  concurrency: number | null
  call: Call
  model: string
  token: string
}
export const emptyDraft = (): RunDraft => ({
  issuer_id: '',
  count: 100,
  concurrency: 10,
  call: 'none',
  model: '',
  token: '',
})
export const takesModel = (call: string): boolean => call === 'chat' || call === 'messages'

export function creation(draft: RunDraft): NewRun {
  return {
    issuer_id: draft.issuer_id,
    count: draft.count ?? 0,
    ...(draft.concurrency === null ? {} : { concurrency: draft.concurrency }),
    call: draft.call,
    ...(takesModel(draft.call) ? { model: draft.model.trim() } : {}),
    ...(draft.token.trim() ? { token: draft.token.trim() } : {}),
  }
}
/** The same again; a token that was given is forgotten, so it is asked for anew. */
export const again = (run: Run): RunDraft => ({
  issuer_id: run.issuer_id,
  count: run.count,
  concurrency: run.concurrency,
  call: run.call,
  model: run.model ?? '',
  token: '',
})

/** The buckets of both runs, from the first to the last that either uses. */
function together(one: readonly Bucket[], other: readonly Bucket[]): number[] {
  const ends = [...new Set([...one, ...other].map((bucket) => bucket.below_us))]
  return ends.sort((a, b) => a - b)
}
const at = (buckets: readonly Bucket[], end: number, step: Step): number =>
  buckets.find((bucket) => bucket.below_us === end)?.[step] ?? 0

/** How many tokens took how long: each step of one run, or one step of two. */
export function distribution(run: Summary | null | undefined) {
  const buckets = run?.distribution ?? []
  return {
    ends: buckets.map((bucket) => bucket.below_us),
    of: (step: Step) => buckets.map((bucket) => bucket[step]),
  }
}
export function compared(one: Summary | null | undefined, other: Summary | null | undefined, step: Step) {
  const [a, b] = [one?.distribution ?? [], other?.distribution ?? []]
  const ends = together(a, b).filter((end) => at(a, end, step) + at(b, end, step) > 0)
  return { ends, one: ends.map((end) => at(a, end, step)), other: ends.map((end) => at(b, end, step)) }
}

export interface Line {
  key: 'ok' | 'perSecond' | `${Step}.${'p50' | 'p95' | 'p99' | 'max'}`
  one: number | null
  other: number | null
  /** Relative; null when there is nothing to compare with. */
  change: number | null
  /** Whether more is better. */
  up: boolean
}
const line = (
  key: Line['key'],
  one: number | null | undefined,
  other: number | null | undefined,
  up: boolean,
): Line => ({
  key,
  one: one ?? null,
  other: other ?? null,
  change: one == null || !other ? null : (one - other) / other,
  up,
})
/** One run against another, measure by measure; what neither has is left out. */
export function lines(one: Summary | null | undefined, other: Summary | null | undefined): Line[] {
  const share = (run: Summary | null | undefined) => (run && run.done > 0 ? run.ok / run.done : null)
  const all = [
    line('ok', share(one), share(other), true),
    line('perSecond', one?.per_second, other?.per_second, true),
    ...steps.flatMap((step) => [
      line(`${step}.p50`, one?.[step]?.p50_us, other?.[step]?.p50_us, false),
      line(`${step}.p95`, one?.[step]?.p95_us, other?.[step]?.p95_us, false),
      line(`${step}.p99`, one?.[step]?.p99_us, other?.[step]?.p99_us, false),
      line(`${step}.max`, one?.[step]?.max_us, other?.[step]?.max_us, false),
    ]),
  ]
  return all.filter((it) => it.one !== null || it.other !== null)
}
/** Whether a change is welcome; a tenth either way is noise. */
export const toneOf = (it: Line): 'ok' | 'bad' | 'idle' =>
  it.change === null || Math.abs(it.change) < 0.1 ? 'idle' : it.change > 0 === it.up ? 'ok' : 'bad'
