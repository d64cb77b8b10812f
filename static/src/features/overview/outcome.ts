// How calls ended, as parts of a whole. Pure.
import type { components } from '@/api/schema'
import type { Slice } from '@/kit'

type Counted = Pick<
  components['schemas']['Numbers'],
  'success_count' | 'client_error_count' | 'rate_limited_count' | 'upstream_error_count' | 'cancelled_count'
>
export type OutcomeWord = 'succeeded' | 'clientError' | 'rateLimited' | 'upstreamError' | 'cancelled'

/** The parts add up to all calls: every failure is of exactly one class. */
export const outcomes = (numbers: Counted, word: (outcome: OutcomeWord) => string): Slice[] => [
  { name: word('succeeded'), value: numbers.success_count, colour: 'series-1', to: behind({ success: 'true' }) },
  { name: word('upstreamError'), value: numbers.upstream_error_count, colour: 'bad', to: behind({ success: 'false' }) },
  {
    name: word('rateLimited'),
    value: numbers.rate_limited_count,
    colour: 'series-3',
    to: behind({ status_code: '429' }),
  },
  {
    name: word('clientError'),
    value: numbers.client_error_count,
    colour: 'series-4',
    to: behind({ success: 'false' }),
  },
  { name: word('cancelled'), value: numbers.cancelled_count, colour: 'series-6', to: behind({ status_code: '499' }) },
]
const behind = (query: Record<string, string>) => ({ path: '/requests', query })
