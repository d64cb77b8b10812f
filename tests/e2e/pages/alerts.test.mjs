// Alerts: a channel to a receiver on this machine, a rule with its preview, an incident acknowledged and rung for, a silence.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
let receiver
const told = []
before(async () => {
  receiver = createServer((request, answer) => {
    let body = ''
    request.on('data', (piece) => (body += piece))
    request.on('end', () => {
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
  }))

test('a channel goes only by its name', () =>
  ui.visit('/ops/channels', async (page) => {
    await page.getByRole('row').filter({ hasText: 'hook' }).first().click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    const confirm = page.getByRole('dialog', { name: 'Delete hook?' })
    await assertAccessible(page, 'channel, deleting')
    assert.ok(await confirm.getByRole('button', { name: 'Delete' }).isDisabled())
    await confirm.getByLabel('Type “hook” to confirm').fill('hook')
    await confirm.getByRole('button', { name: 'Delete' }).click()
    await page.getByText('hook is deleted').waitFor()
    await page.getByText('No channel yet').waitFor()
  }))
