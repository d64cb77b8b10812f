// Filters by a key or a tenant, of which there may be more than a list holds: found at the server while one types.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
let oldest
before(async () => {
  ui = await Console.start()
  // More than a page of two hundred; the newest come first.
  for (let n = 0; n < 205; n++) {
    const { id, token } = await ui.api('POST', '/api/v1/tokens', { name: `key ${n}.`, app: 'crm' })
    oldest ??= { id, token }
    await ui.api('POST', '/api/v1/ops/tenants', { name: `tenant ${n}.` })
  }
})
after(() => ui?.stop())

test('the oldest of many keys and tenants is found, by keyboard, and none of them is fetched whole', () =>
  ui.visit('/ops/requests', async (page) => {
    const asked = []
    page.on('request', (request) => {
      const { pathname, searchParams } = new URL(request.url())
      if (pathname === '/api/v1/ops/tenants') asked.push(searchParams)
    })
    for (const [filter, name] of [
      ['API key', 'key 0.'],
      ['Tenant', 'tenant 0.'],
    ]) {
      await page.getByRole('button', { name: 'Filter', exact: true }).click()
      await page.getByLabel('Filter by').selectOption({ label: filter })
      const box = page.getByRole('combobox', { name: 'Value' })
      await box.focus()
      const list = page.getByRole('listbox')
      await list.getByText(name.replace('0', '204')).waitFor()
      assert.equal(await list.getByRole('option').count(), 20)
      // The end of the list brings the next page.
      for (let step = 0; step < 20; step++) await page.keyboard.press('ArrowDown')
      await list.getByText(name.replace('0', '180')).waitFor()
      await assertAccessible(page, `choice of ${filter}`)
      await page.keyboard.type(name)
      await list.getByText(name, { exact: true }).waitFor()
      await page.waitForFunction(() => document.querySelectorAll('[role=option]').length === 1)
      await page.keyboard.press('ArrowDown')
      await page.keyboard.press('Enter')
      await list.waitFor({ state: 'detached' })
      assert.equal(await box.inputValue(), name)
      await page.getByRole('button', { name: 'Apply' }).click()
      await page.getByRole('search').getByText(name, { exact: true }).waitFor()
    }
    assert.match(page.url(), new RegExp(`token_id=${oldest.id}`))
    assert.ok(asked.length > 0)
    assert.deepEqual(asked.filter((query) => Number(query.get('limit')) > 20), [])
    // An address tells ids only; they are named all the same.
    await page.goto(page.url())
    for (const name of ['key 0.', 'tenant 0.']) await page.getByRole('search').getByText(name, { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Remove API key' }).click()
    await page.getByText('key 0.', { exact: true }).waitFor({ state: 'detached' })
  }))

test('a call by the oldest of many keys tells its name in the list, and no list of keys is asked for', async () => {
  const calling = await fetch(`${ui.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${oldest.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello' }] }),
  })
  await calling.text()
  await ui.visit('/ops/nowhere', async (page) => {
    const asked = []
    page.on('request', (request) => asked.push(new URL(request.url()).pathname))
    await page.goto('/ops/requests')
    const row = page.getByRole('row').filter({ hasText: 'gpt-4o' }).first()
    // It comes as news, once it is on the books.
    await row.waitFor()
    await row.getByText('key 0.', { exact: true }).waitFor()
    assert.deepEqual(asked.filter((path) => path === '/api/v1/tokens'), [])
  })
})
