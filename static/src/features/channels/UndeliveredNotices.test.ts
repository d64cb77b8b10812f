// What nobody got: told with its reason, sent again as it stands, discarded after a question; only looked at by a reader.
import { flushPromises } from '@vue/test-utils'
import { afterEach, expect, it, vi } from 'vitest'
import { toast } from '@/kit'
import { type Asked, button, json, mounted, play, press, refused } from '@/testing'
import ChannelsPage from './ChannelsPage.vue'
import type { Notice } from './undelivered'

const at = '2026-01-01T00:00:00Z'
const notice = (id: string, told: Partial<Notice> = {}): Notice => ({
  id,
  state: 'given_up',
  reason: 'answered 400: no such key',
  kind: 'alert',
  subject: 'spool',
  event: 'fired',
  incident_id: 'alt_1',
  channel_id: 'chn_1',
  channel_name: 'pager',
  attempts: 1,
  created_at: at,
  done_at: at,
  ...told,
})
const channel = (enabled: boolean) => ({ id: 'chn_1', name: 'pager', kind: 'pagerduty', address: '', to: [], enabled })

const root = '/api/v1/ops/alerts/notices'
/** A list of these, at most `limit` at a time, from which what is sent or discarded goes. */
function server(held: Notice[], { limit = 20, enabled = true } = {}) {
  let left = [...held]
  return ({ line, path }: Asked) => {
    if (path === '/api/v1/ops/alerts/channels') return json({ items: [channel(enabled)] })
    if (path === `${root}/undelivered`) {
      const from = Number(new URLSearchParams(line.split('?')[1]).get('cursor') ?? 0)
      const next_cursor = from + limit < left.length ? String(from + limit) : null
      return json({ items: left.slice(from, from + limit), next_cursor, total: left.length, total_is_exact: true })
    }
    const id = /notices\/(\w+)\/(send|discard)$/.exec(path)?.[1]
    const found = left.find((one) => one.id === id)
    left = left.filter((one) => one !== found)
    return found && json({ ...found, state: path.endsWith('send') ? 'waiting' : 'discarded' })
  }
}
const shown = () => document.querySelector('#undelivered')?.textContent ?? ''
const posts = (asked: Asked[]) => asked.filter(({ line }) => line.startsWith('POST')).map(({ path }) => path)
/** What is said beside the page, which this test does not mount. */
const heard = (how: 'done' | 'warned' | 'failed') => vi.spyOn(toast, how).mockImplementation(() => undefined)

afterEach(() => {
  document.body.innerHTML = ''
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

it('says calmly that there is nothing', async () => {
  play(server([]))
  const { wrapper } = await mounted(ChannelsPage, { address: '/channels' })
  await vi.waitFor(() => expect(shown()).toContain('Nothing is undelivered'))
  expect(document.querySelector('a[href="#undelivered"]')).toBeNull()
  wrapper.unmount()
})

it('tells what, where to, when and why, and counts them above', async () => {
  const unreadable = notice('msg_2', {
    state: 'quarantined',
    subject: null,
    event: null,
    reason: 'no JSON',
    attempts: 0,
  })
  play(server([notice('msg_1'), unreadable, notice('msg_3', { kind: 'report', event: null, subject: 'Models' })]))
  const { wrapper } = await mounted(ChannelsPage, { address: '/channels' })
  await vi.waitFor(() => expect(document.querySelectorAll('#undelivered li')).toHaveLength(3))
  const rows = [...document.querySelectorAll('#undelivered li')].map((row) => row.textContent)
  for (const word of [
    'spool',
    'Fired',
    'Given up',
    'answered 400: no such key',
    'pager',
    'One attempt',
    'Waited since',
  ])
    expect(rows[0]).toContain(word)
  for (const word of ['An alert that is no longer kept', 'Put aside', 'no JSON', 'Never tried'])
    expect(rows[1]).toContain(word)
  expect(rows[2]).toContain('ModelsReport')
  expect(document.querySelector('a[href="#undelivered"]')?.textContent).toBe('3 notices undelivered')
  const links = [...document.querySelectorAll('#undelivered li a')].map((one) => one.getAttribute('href'))
  const [incident, drawer] = ['/alerts?tab=history&incident=alt_1', '/channels?channel=chn_1']
  expect(links).toEqual([incident, drawer, drawer, drawer])
  wrapper.unmount()
})

it.each([
  ['at once', true, 'It is being sent to pager again'],
  ['and waits for a channel that is off', false, 'pager is off: the notice waits until it is in force again.'],
])('is sent again, %s', async (_, enabled, words) => {
  const told = heard(enabled ? 'done' : 'warned')
  const asked = play(server([notice('msg_1'), notice('msg_2', { event: 'resolved' })], { enabled }))
  const { wrapper } = await mounted(ChannelsPage, { address: '/channels' })
  await press('Send again: spool · Resolved')
  await vi.waitFor(() => expect(document.querySelectorAll('#undelivered li')).toHaveLength(1))
  expect(posts(asked)).toEqual([`${root}/msg_2/send`])
  await vi.waitFor(() => expect(told.mock.calls).toEqual([[words]]))
  wrapper.unmount()
})

it('says why it cannot be sent, and stays', async () => {
  const failed = heard('failed')
  const known = server([notice('msg_1')])
  play((one) => (one.line.startsWith('POST') ? refused(409, 'conflict') : known(one)))
  const { wrapper } = await mounted(ChannelsPage, { address: '/channels' })
  await press('Send again: spool · Fired')
  await vi.waitFor(() => expect(failed).toHaveBeenCalledWith(expect.objectContaining({ code: 'conflict' })))
  expect(document.querySelectorAll('#undelivered li')).toHaveLength(1)
  expect(button('Send again: spool · Fired')!.disabled).toBe(false)
  wrapper.unmount()
})

it('is discarded only when somebody means it', async () => {
  const done = heard('done')
  const asked = play(server([notice('msg_1')]))
  const { wrapper } = await mounted(ChannelsPage, { address: '/channels' })
  await press('Discard: spool · Fired')
  await vi.waitFor(() => expect(document.body.textContent).toContain('“spool · Fired” will never be sent to pager'))
  await press('Cancel')
  expect(posts(asked)).toEqual([])
  await press('Discard: spool · Fired')
  await press('Discard')
  await vi.waitFor(() => expect(shown()).toContain('Nothing is undelivered'))
  expect(posts(asked)).toEqual([`${root}/msg_1/discard`])
  await vi.waitFor(() => expect(done).toHaveBeenCalledWith('The notice is discarded'))
  expect(document.querySelector('[role=dialog]')).toBeNull()
  wrapper.unmount()
})

it('is read a page at a time', async () => {
  heard('done')
  play(
    server(
      ['a', 'b', 'c'].map((id) => notice(id, { subject: id })),
      { limit: 2 },
    ),
  )
  const { wrapper } = await mounted(ChannelsPage, { address: '/channels' })
  await vi.waitFor(() => expect(shown()).toContain('2 of 3'))
  await press('More')
  await vi.waitFor(() => expect(document.querySelectorAll('#undelivered li')).toHaveLength(3))
  expect(button('More')).toBeUndefined()
  // What goes from the first page moves up the second: none is left out, none told twice.
  await press('Send again: a · Fired')
  const names = () => [...document.querySelectorAll('#undelivered li a[href^="/alerts"]')].map((one) => one.textContent)
  await vi.waitFor(() => expect(names()).toEqual(['b', 'c']))
  wrapper.unmount()
})

it('who only reads changes nothing, and who may not see alerts is not led there', async () => {
  play(server([notice('msg_1')]))
  const { wrapper } = await mounted(ChannelsPage, { address: '/channels', permissions: ['read:notifications'] })
  await vi.waitFor(() => expect(shown()).toContain('spool'))
  await flushPromises()
  const buttons = [...document.querySelectorAll('#undelivered button')].map((one) => one.textContent)
  expect(buttons).toEqual([])
  expect(document.querySelector('#undelivered a[href^="/alerts"]')).toBeNull()
  wrapper.unmount()
})
