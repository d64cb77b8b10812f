import { expect, it } from 'vitest'
import { outcomes } from './outcome'

it('parts all calls into how they ended', () => {
  const parts = outcomes(
    {
      success_count: 90,
      client_error_count: 1,
      rate_limited_count: 2,
      upstream_error_count: 3,
      cancelled_count: 4,
    },
    (word) => word,
  )
  expect(Object.fromEntries(parts.map((part) => [part.name, part.value]))).toEqual({
    succeeded: 90,
    clientError: 1,
    rateLimited: 2,
    upstreamError: 3,
    cancelled: 4,
  })
  expect(parts.find((part) => part.name === 'rateLimited')?.to).toEqual({
    path: '/requests',
    query: { status_code: '429' },
  })
})
