import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { json, play, somebody } from '@/testing'
import { syncedOf } from './pair'
import { useNear } from './useNear'

beforeEach(() => void somebody())
afterEach(() => vi.unstubAllGlobals())
const hit = { score: 0.9, pair: { id: 'qa_1', question: 'How do I book?', answer: 'Call us.' } }

it('a question is looked at once, and what was seen is saved all the same', async () => {
  const asked = play(() => json({ items: [hit], looked: true, reason: null }))
  const { near, isSeen, maySave } = useNear()
  expect(await maySave('How to book?', 'ten_1', 'qa_2')).toBe(false)
  expect(near.value).toHaveLength(1)
  isSeen.value = true
  expect(await maySave('How to book? ', 'ten_1', 'qa_2')).toBe(true)
  expect(asked.map(({ body }) => body)).toEqual([{ question: 'How to book?', tenant_id: 'ten_1', except: 'qa_2' }])
  // Another question was not seen yet.
  expect(await maySave('How do I pay?', 'ten_1')).toBe(false)
  expect([asked.length, isSeen.value]).toEqual([2, false])
})

it('nobody is kept from saving when it cannot be looked, and it is said', async () => {
  play(() => json({ items: [], looked: false, reason: 'the provider answered 503' }))
  const away = useNear()
  expect(await away.maySave('How to book?', '')).toBe(true)
  expect(away.unlooked.value).toBe('the provider answered 503')
  play(() => undefined)
  const refused = useNear()
  expect(await refused.maySave('How to book?', '')).toBe(true)
  expect(refused.unlooked.value).not.toBeNull()
})

it('what came of many is read of a job, and nothing of another job', () => {
  const came = { synced: 1, already: 2, failed: 3, reasons: [{ error: 'no', pairs: 3 }] }
  expect(syncedOf(came)).toEqual(came)
  expect([syncedOf({ changed: 3 }), syncedOf(null)]).toEqual([null, null])
})
