// The overview's card of tenants and knowledge says what the API says, in every size and theme.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, assertNoSidewaysScrolling, Console } from '../support/console.mjs'

let ui
before(async () => {
  ui = await Console.start()
  await ui.api('POST', '/api/v1/accounts', {
    name: 'upstream',
    provider: 'fake',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['*'],
  })
  const { token } = await ui.api('POST', '/api/v1/tokens', { name: 'first' })
  const answer = await fetch(`${ui.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello' }] }),
  })
  await answer.text()
  const ids = []
  for (const name of ['Kimono One', '和服店 A']) ids.push((await ui.api('POST', '/api/v1/ops/tenants', { name })).id)
  await ui.api('POST', `/api/v1/ops/tenants/${ids[1]}/suspend`, { reason: 'no answer' })
  const pair = { tenant_id: ids[0], question: 'When do you open?', answer: 'At nine.' }
  await ui.api('POST', '/api/v1/ops/knowledge/qa-pairs', pair)
})
after(() => ui?.stop())

const figure = (page, name) => page.locator(`[data-figure=${name}]`)

test('tenants, pairs, conversations and components are those of the API', async () => {
  const told = await ui.api('GET', '/api/v1/ops/dashboard/overview')
  assert.deepEqual([told.total_tenants, told.active_tenants], [2, 1])
  assert.deepEqual([told.total_qa_pairs, told.unsynced_qa_pairs], [1, 1])
  const { items: days } = await ui.api('GET', '/api/v1/ops/dashboard/trends')
  assert.equal(days.length, 7)
  await ui.visit('/ops/overview', async (page) => {
    await figure(page, 'tenants').getByText('2', { exact: true }).waitFor()
    await figure(page, 'tenants').getByText('1 active').waitFor()
    await figure(page, 'pairs').getByText('1 wait to be synced').waitFor()
    await figure(page, 'talks').getByText(String(told.conversations_today), { exact: true }).waitFor()
    const parts = page.getByRole('region', { name: 'Components' })
    await parts.getByText('Databases').waitFor()
    await parts.getByText(/\d ms|\d µs/).first().waitFor()
    const week = page.getByRole('region', { name: 'Conversations by day' }).first()
    await week.getByRole('button', { name: 'Show as table' }).click()
    const rows = week.getByRole('table').getByRole('row')
    await rows.nth(7).waitFor()
    assert.equal(await rows.count(), 8, 'a heading and seven days')
    const last = rows.nth(7).getByRole('cell')
    assert.equal((await last.textContent()).trim(), String(told.conversations_today))
    assert.equal((await rows.nth(1).getByRole('cell').textContent()).trim(), '0')
    await assertAccessible(page, 'overview with tenants')
    await figure(page, 'pairs').getByRole('link').click()
    await page.waitForURL('**/knowledge')
  })
})

test('on a phone, in Chinese, dark', () =>
  ui.visit(
    '/ops/overview',
    async (page) => {
      await figure(page, 'tenants').getByText('1 个活跃').waitFor()
      await assertAccessible(page, 'overview with tenants, phone')
      await assertNoSidewaysScrolling(page, 'overview with tenants, phone')
    },
    { size: 'phone', language: 'zh', theme: 'dark' },
  ))
