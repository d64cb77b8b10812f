// Alerts: a channel to a receiver on this machine, a rule with its preview, an incident acknowledged and rung for, a silence,
// notices that their receiver refused.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { assertAccessible, Console, everyLook, opposite, parts, password } from '../support/console.mjs'
import { walk } from '../support/walk.mjs'

let ui
let receiver
const told = []
/** What the pager was asked to ring for, and whether it does: it refuses for good as PagerDuty does what it cannot read. */
const paged = []
let pagerRings = false
before(async () => {
  receiver = createServer((request, answer) => {
    let body = ''
    request.on('data', (piece) => (body += piece))
    request.on('end', () => {
      if (request.url === '/pager') {
        paged.push(JSON.parse(body))
        answer.statusCode = pagerRings ? 202 : 400
        return answer.end(pagerRings ? 'rings' : 'no such key')
      }
      told.push({ id: request.headers['webhook-id'], type: JSON.parse(body).type })
      answer.end('thank you')
    })
  })
  await new Promise((done) => receiver.listen(0, '127.0.0.1', done))
  ui = await Console.start({
    env: { STEWARD__ALERTS__INTERVAL_MS: '300', STEWARD__EGRESS__ALLOW_PRIVATE: 'true' },
  })
})
after(async () => {
  await ui?.stop()
  receiver?.close()
})

test('channels: made, its secret shown once, tested with the real answer', () =>
  ui.visit('/ops/channels', async (page) => {
    await page.getByText('No channel yet').waitFor()
    await assertAccessible(page, 'channels, empty')
    await page.getByRole('button', { name: 'Add channel' }).first().click()
    await page.getByRole('textbox', { name: /^Name/ }).fill('hook')
    await page.getByLabel('Address').fill(`http://127.0.0.1:${receiver.address().port}/hook?key=canary`)
    await assertAccessible(page, 'channel form')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.locator('[data-secret]').getByText('whsec_').waitFor()
    await assertAccessible(page, 'channel secret')
    await page.getByLabel('I saved it').check()
    await page.getByRole('button', { name: 'Done' }).click()
    await page.getByRole('row').filter({ hasText: 'hook' }).first().click()
    await page.getByRole('button', { name: 'Send a test' }).click()
    await page.getByText('200 thank you').first().waitFor()
    await assertAccessible(page, 'channel drawer')
    assert.equal(told[0].type, 'test')
    assert.ok(!(await page.content()).includes('canary'))
  }))

test('alerts: a rule with its preview fires, is acknowledged and rung for', () =>
  ui.visit('/ops/alerts?tab=rules', async (page) => {
    await page.getByText('high_error_rate').first().waitFor()
    await assertAccessible(page, 'rules')
    await page.getByRole('button', { name: 'Add rule' }).click()
    await page.getByRole('textbox', { name: /^Name/ }).fill('spool')
    await page.getByLabel('Condition').fill('spool_depth >= 0')
    await page.getByLabel('For', { exact: true }).fill('0s')
    await page.getByRole('status').filter({ hasText: /would|Nothing is kept/ }).waitFor()
    await assertAccessible(page, 'rule form')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('spool is saved').waitFor()
    await page.getByRole('row').filter({ hasText: 'spool' }).first().click()
    await page.waitForURL(/rule=/)
    const rule = page.getByRole('dialog', { name: 'spool' })
    await rule.getByText('spool_depth >= 0', { exact: true }).first().waitFor()
    await rule.getByText('Those that take all alerts').waitFor()
    await assertAccessible(page, 'rule')
    await page.goto('/ops/alerts?severity=info')
    await page.getByText('Nothing matches').waitFor()
    await page.getByRole('button', { name: 'Remove Severity' }).click()
    await page.getByRole('row').filter({ hasText: 'spool' }).first().click()
    await page.getByRole('dialog').getByText(/^\d+ of \d+/).waitFor()
    await page.getByRole('button', { name: 'Acknowledge' }).click()
    await page.getByRole('list').getByText('Acknowledged').first().waitFor()
    await assertAccessible(page, 'incident')
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: /^Notices/ }).click()
    await page.getByRole('link', { name: 'spool fires' }).waitFor()
    await assertAccessible(page, 'bell')
    await page.getByRole('button', { name: 'Mark as read' }).click()
    await page.getByRole('link', { name: 'spool fires' }).waitFor({ state: 'detached' })
    const types = () => told.map((notice) => notice.type)
    for (const type of ['alert.fired', 'alert.acknowledged']) {
      const deadline = Date.now() + 20_000
      while (!types().includes(type)) {
        assert.ok(Date.now() < deadline, `${type} in ${types()}`)
        await page.waitForTimeout(50)
      }
    }
  }))

test('silences: made and ended', () =>
  ui.visit('/ops/alerts?tab=silences', async (page) => {
    await page.getByText('No silence').waitFor()
    await page.getByRole('button', { name: 'Add silence' }).click()
    await page.getByLabel('Alerts that fit').fill('rule=spool')
    await page.keyboard.press('Enter')
    await page.getByLabel('Reason').fill('moving house')
    await assertAccessible(page, 'silence form')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'End now' }).click()
    await page.getByText('Over').first().waitFor()
    await assertAccessible(page, 'silences')
    await page.getByRole('row').filter({ hasText: 'rule=spool' }).first().click()
    await page.waitForURL(/silence=/)
    const silence = page.getByRole('dialog', { name: 'moving house' })
    await silence.getByText('admin', { exact: true }).waitFor()
    assert.equal(await silence.getByRole('button', { name: 'End now' }).count(), 0, 'it is over')
    await assertAccessible(page, 'silence')
    await page.goto('/ops/alerts?tab=silences&silence=sil_nobody')
    await page.getByText('There is no such silence').waitFor()
  }))

test('rules are walked, and each has an address', () =>
  ui.visit('/ops/alerts?tab=rules', async (page) => {
    await page.locator('[role=row][data-index]').nth(1).click()
    await page.waitForURL(/rule=/)
    const address = page.url()
    const name = () => page.getByRole('dialog').getByRole('heading').first().innerText()
    const second = await name()
    await page.getByRole('dialog').getByText(/^2 of/).waitFor()
    await page.keyboard.press('k')
    await page.getByRole('dialog').getByText(/^1 of/).waitFor()
    assert.notEqual(await name(), second)
    await page.goto(address)
    await page.getByRole('dialog', { name: second }).waitFor()
    await page.keyboard.press('Escape')
    await page.waitForURL((url) => url.search === '?tab=rules')
  }))

/** What somebody else makes of it meanwhile, at its address. */
async function changeElsewhere(method, path, changes) {
  const signedIn = await ui.api('POST', '/api/v1/auth/login', { username: 'admin', password })
  const headers = { authorization: `Bearer ${signedIn.access_token}`, 'content-type': 'application/json' }
  const found = await fetch(ui.url + path, { headers })
  const body = JSON.stringify(changes(await found.json()))
  const answer = await fetch(ui.url + path, { method, headers: { ...headers, 'if-match': found.headers.get('etag') }, body })
  assert.equal(answer.status, 200, await answer.text())
}
/** The form says what changed, and goes on with what was typed. */
async function overtaken(page, theirs) {
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  const question = page.getByRole('dialog', { name: 'Somebody else changed this meanwhile' })
  await question.getByText(theirs).first().waitFor()
  await assertAccessible(page, 'somebody saved first')
  await question.getByRole('button', { name: 'Keep my changes' }).click()
}

test('two operators at one rule, and at one channel: neither loses what they typed', () =>
  ui.visit(
    '/ops/alerts?tab=rules',
    async (page) => {
      const { items: rules } = await ui.api('GET', '/api/v1/ops/alerts/rules?limit=200')
      const rule = rules.find(({ name }) => name === 'spool')
      await page.getByRole('row').filter({ hasText: 'spool_depth >= 0' }).click()
      await page.getByRole('dialog', { name: 'spool' }).getByRole('button', { name: 'Edit' }).click()
      await page.getByRole('dialog', { name: 'Edit spool' }).getByLabel('Window').fill('7m')
      const kept = ({ name, condition, window, filter, severity, no_data, split_by, channels, enabled, keep_firing_for }) => ({ name, condition, window, filter, severity, no_data, split_by, channels, enabled, keep_firing_for })
      await changeElsewhere('PUT', `/api/v1/ops/alerts/rules/${rule.id}`, (now) => ({ ...kept(now), for: '9m' }))
      await overtaken(page, '"for": "9m"')
      await page.getByText('spool is saved').waitFor()
      assert.equal((await ui.api('GET', `/api/v1/ops/alerts/rules/${rule.id}`)).window, '7m')

      const { items: channels } = await ui.api('GET', '/api/v1/ops/alerts/channels')
      const channel = channels.find(({ name }) => name === 'hook')
      await page.goto(`/ops/channels?channel=${channel.id}`)
      await page.getByRole('dialog', { name: 'hook' }).getByRole('button', { name: 'Edit' }).click()
      await page.getByRole('dialog', { name: 'Edit hook' }).getByRole('textbox', { name: /^Name/ }).fill('hook two')
      await changeElsewhere('PATCH', `/api/v1/ops/alerts/channels/${channel.id}`, () => ({ takes_all: !channel.takes_all }))
      await overtaken(page, `"takes_all": ${!channel.takes_all}`)
      await page.getByText('hook two is saved').waitFor()
      const now = await ui.api('GET', `/api/v1/ops/alerts/channels/${channel.id}`)
      assert.deepEqual([now.name, now.takes_all], ['hook two', !channel.takes_all])
    },
    { tolerated: [/412 .*\/api\/v1\/ops\/alerts/] },
  ))

test('a channel goes only by its name', () =>
  ui.visit('/ops/channels', async (page) => {
    await page.getByRole('row').filter({ hasText: 'hook two' }).first().click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    const confirm = page.getByRole('dialog', { name: 'Delete hook two?' })
    await assertAccessible(page, 'channel, deleting')
    assert.ok(await confirm.getByRole('button', { name: 'Delete' }).isDisabled())
    await confirm.getByLabel('Type “hook two” to confirm').fill('hook two')
    await confirm.getByRole('button', { name: 'Delete' }).click()
    await page.getByText('hook two is deleted').waitFor()
    await page.getByText('No channel yet').waitFor()
  }))

test('notices that nobody got: told with the reason, sent again when the receiver is well, discarded', async () => {
  const alerts = '/api/v1/ops/alerts'
  const left = async () => (await ui.api('GET', `${alerts}/notices/undelivered`)).total
  const until = async (what, holds) => {
    const deadline = Date.now() + 20_000
    while (!(await holds())) {
      assert.ok(Date.now() < deadline, what)
      await new Promise((wake) => setTimeout(wake, 50))
    }
  }
  const url = `http://127.0.0.1:${receiver.address().port}/pager`
  const { id: pager } = await ui.api('POST', `${alerts}/channels`, { name: 'pager', kind: 'pagerduty', url, secret: 'routing-key', takes_all: false })
  const rule = { condition: 'spool_depth >= 0', window: '1m', for: '0s', keep_firing_for: '0s', severity: 'critical', enabled: true, channels: [pager] }
  for (const name of ['rings later', 'rings never']) await ui.api('POST', `${alerts}/rules`, { ...rule, name })
  await until('both are given up', async () => (await left()) === 2)

  await ui.shoot('channels-undelivered', '/ops/channels', (page) => page.locator('#undelivered li').nth(1).waitFor())
  await ui.visit('/ops/channels', async (page) => {
    const list = page.getByRole('region', { name: 'Undelivered notices' })
    const row = (name) => list.getByRole('listitem').filter({ hasText: name })
    for (const name of ['rings later', 'rings never']) await row(name).getByText('answered 400: no such key').waitFor()
    await row('rings later').getByText('One attempt').waitFor()
    await walk(page, 'main', 'undelivered notices')
    await page.getByRole('link', { name: '2 notices undelivered' }).click()
    await page.waitForURL((to) => to.hash === '#undelivered')
    assert.equal(await list.count(), 1, 'it leads to where they are, on the same page')

    pagerRings = true
    const before = paged.length
    await row('rings later').getByRole('button', { name: /^Send again/ }).click()
    await page.getByText('It is being sent to pager again').waitFor()
    await row('rings later').waitFor({ state: 'detached' })
    await page.getByRole('link', { name: 'One notice undelivered' }).waitFor()
    await until('the pager rings', () => paged.length > before)
    assert.ok(paged.slice(before).every((asked) => asked.payload.summary.includes('rings later')))

    await row('rings never').getByRole('button', { name: /^Discard/ }).click()
    const question = page.getByRole('dialog', { name: 'Discard this notice?' })
    await question.getByText('“rings never · Fired” will never be sent to pager.').waitFor()
    await everyLook(page, 'notice, discarding', { among: opposite, examined: opposite, part: parts.over, pictured: false })
    await everyLook(page, 'notice, discarding', { among: [opposite[0]], examined: [], pictured: false })
    await question.getByRole('button', { name: 'Discard' }).click()
    await list.getByText('Nothing is undelivered').waitFor()
    assert.equal(await page.getByRole('link', { name: /undelivered/ }).count(), 0)
  })
  const { items } = await ui.api('GET', `${alerts}/channels/${pager}/deliveries`)
  assert.deepEqual(items.map(({ outcome }) => outcome), ['delivered', 'rejected', 'rejected'])
  assert.equal(await left(), 0)
})
