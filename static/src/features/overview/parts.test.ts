// What of the overview is withheld leaves; what fails says why and can be asked for again.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Asked, json, mounted, play, refused } from '@/testing'
import OverviewPage from './OverviewPage.vue'

beforeEach(() => localStorage.clear())
afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
})

const call = { id: 'c1', request_at: '2026-03-04T12:00:00Z', status_code: 200, total_tokens: 3, duration_ms: 9 }
const stretch = { from: '2026-03-04T00:00:00Z', to: '2026-03-05T00:00:00Z' }
const items = (...rows: object[]) => json({ items: rows, total: rows.length })
const answers: Record<string, () => Response> = {
  '/api/v1/logs/requests': () => items(call),
  '/api/v1/accounts': () => items(),
  '/api/v1/tokens': () => items(),
  '/api/v1/feedback': () => items(),
  '/api/v1/ops/alerts/history': () => items(),
  '/api/v1/ops/system/components': () => items(),
  '/api/v1/ops/logs/query': () => items({ id: 'l1', at: '2026-03-04T12:00:00Z', level: 'WARN', message: 'A line' }),
  '/api/v1/stats/top': () => items({ key: 'k', name: 'gpt-4o', request_count: 3, share: 1, success_rate: 1 }),
  '/api/v1/stats/daily-active-users': () => json({ items: [], time_zone: 'UTC' }),
  '/api/v1/stats/overview': () => json({ ...stretch, request_count: 1, success_rate: 1, previous: stretch }),
  '/api/v1/stats/trend': () => json({ ...stretch, items: [], by: 'hour', time_zone: 'UTC' }),
  '/api/v1/stats/conversations': () => json({ calls: 0, with_id: 0, without_id: 0 }),
  '/api/v1/supervision/ledger': () => json({ accepted: 1, stored: 1, spooled: 0, balanced: true }),
  '/api/v1/supervision/tree': () => json({ id: 'root', kind: 'group', state: 'running', children: [] }),
}
/** The page with one of its parts answered otherwise; what it says, and how often the part was asked for. */
async function pageWhere(part: string, instead: () => Response) {
  const asked = play(({ path }: Asked) => (path === part ? instead() : answers[path]?.()))
  const { wrapper } = await mounted(OverviewPage, { address: '/overview' })
  await vi.waitFor(() => expect(document.body.textContent).toContain('Latest calls'))
  return { wrapper, asks: () => asked.filter(({ path }) => path === part).length }
}
const card = (title: string) =>
  [...document.querySelectorAll('section')].find((one) => one.querySelector('h2')?.textContent === title)
const alerts = (within: ParentNode = document) => within.querySelectorAll('[role=alert]').length

describe.each([
  ['/api/v1/stats/top', 'Top models', 'gpt-4o'],
  ['/api/v1/ops/logs/query', 'System log', 'A line'],
])('%s', (part, title, shown) => {
  it('leaves where it is withheld', async () => {
    const { wrapper } = await pageWhere(part, () => refused(403, 'forbidden'))
    await vi.waitFor(() => expect(card(title)).toBeUndefined())
    expect(alerts()).toBe(0)
    wrapper.unmount()
  })

  it('says why it fails, and comes when it is asked for again', async () => {
    let isBroken = true
    const { wrapper, asks } = await pageWhere(part, () => (isBroken ? refused(500, 'internal') : answers[part]!()))
    await vi.waitFor(() => expect(alerts(card(title))).toBe(1))
    expect(card(title)!.textContent).toContain('internal')
    isBroken = false
    const before = asks()
    card(title)!.querySelector<HTMLElement>('[role=alert] button:last-child')!.click()
    await vi.waitFor(() => expect(card(title)!.textContent).toContain(shown))
    expect(alerts(card(title))).toBe(0)
    expect(asks()).toBeGreaterThan(before)
    wrapper.unmount()
  })
})

it.each(['/api/v1/supervision/ledger', '/api/v1/stats/daily-active-users', '/api/v1/feedback'])(
  'a failure of %s is told above, that it is withheld is not',
  async (part) => {
    const broken = await pageWhere(part, () => refused(500, 'broken_by_test'))
    await vi.waitFor(() => expect(document.body.textContent).toContain('broken_by_test'))
    broken.wrapper.unmount()
    document.body.innerHTML = ''
    const withheld = await pageWhere(part, () => refused(403, 'forbidden'))
    expect(alerts()).toBe(0)
    withheld.wrapper.unmount()
  },
)
