// The usage of a key is asked for under the key's own address: its tenant's people are refused everybody's numbers.
import { afterEach, expect, it, vi } from 'vitest'
import { mounted, play } from '@/testing'
import TokenUsage from './TokenUsage.vue'

afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})

it('asks for the numbers of the key alone', async () => {
  const asked = play(() => undefined)
  const token = { id: 'tok_1', name: 'key', total_tokens_used: 0 }
  const { wrapper } = await mounted(TokenUsage, { props: { token }, permissions: ['read:tokens', 'read:stats'] })
  const paths = () => asked.map(({ path }) => path).filter((path) => path.startsWith('/api/v1/stats/'))
  await vi.waitFor(() => expect(paths()).toHaveLength(2))
  expect(paths().sort()).toEqual(['/api/v1/stats/tokens/tok_1', '/api/v1/stats/tokens/tok_1/trend'])
  wrapper.unmount()
})
