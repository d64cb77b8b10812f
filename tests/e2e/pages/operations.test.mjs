// What an operator of many tenants does in a day, where no other test does it in the browser: the log of a stretch of time
// taken along as a file, an alert that a rule found confirmed and resolved by hand.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
before(async () => {
  ui = await Console.start({
    env: { STEWARD__LOG__STORED_LEVEL: 'INFO', STEWARD__ALERTS__INTERVAL_MS: '300' },
  })
})
after(() => ui?.stop())

/** Asks until there are so many lines that say that a job begins; the newest first. */
async function begun(count) {
  const deadline = Date.now() + 20_000
  for (;;) {
    const { items } = await ui.api('GET', '/api/v1/ops/logs/query?level=INFO&q=a+job+begins')
    if (items.length >= count) return items
    assert.ok(Date.now() < deadline, `${items.length} of ${count} lines`)
    await new Promise((done) => setTimeout(done, 50))
  }
}

test('the log of a stretch of time, of a level and with a word in it, becomes a file', async () => {
  await ui.api('POST', '/api/v1/ops/retention/run', {})
  const [first] = await begun(1)
  const to = new Date(Date.parse(first.at) + 1).toISOString()
  await ui.api('POST', '/api/v1/ops/retention/run', {})
  await begun(2)
  const from = new Date(Date.parse(first.at) - 60_000).toISOString()
  const stretch = new URLSearchParams({ level: 'INFO', from, to, q: 'a job begins' })
  await ui.visit(`/ops/logs?${stretch}`, async (page) => {
    const lines = page.getByRole('grid', { name: 'System logs' })
    await lines.getByText('a job begins').waitFor()
    await assertAccessible(page, 'logs of a stretch of time')
    const saving = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Export' }).click()
    const file = await readFile(await (await saving).path(), 'utf8')
    const saved = file.trim().split('\n').map((line) => JSON.parse(line))
    assert.deepEqual(
      saved.map((line) => line.id),
      [first.id],
    )
  })
})

test('an alert that a rule found is confirmed and resolved by hand, and stands in the history', async () => {
  await ui.api('PUT', '/api/v1/ops/alerts/rules', { rules: [] })
  await ui.api('POST', '/api/v1/accounts', {
    name: 'upstream',
    provider: 'fake',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['*'],
  })
  const { token } = await ui.api('POST', '/api/v1/tokens', { name: 'shop' })
  await ui.api('POST', '/api/v1/ops/alerts/rules', {
    name: 'failures',
    condition: 'error_rate > 0.5',
    severity: 'error',
  })
  const answer = await fetch(`${ui.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o+status=500', messages: [{ role: 'user', content: 'Hello' }] }),
  })
  assert.equal(answer.status, 500)
  await ui.visit('/ops/alerts', async (page) => {
    await page.getByRole('row').filter({ hasText: 'failures' }).first().click()
    const incident = page.getByRole('dialog', { name: 'failures' })
    await page.waitForURL('**incident=**')
    const id = new URL(page.url()).searchParams.get('incident')
    await incident.getByRole('button', { name: 'Acknowledge' }).click()
    await incident.getByRole('list').getByText('Acknowledged').waitFor()
    await incident.getByRole('button', { name: 'Resolve' }).click()
    const step = incident.getByRole('listitem').filter({ hasText: 'Resolved' })
    await step.getByText('admin').waitFor()
    await incident.getByRole('button', { name: 'Resolve' }).waitFor({ state: 'detached' })
    await assertAccessible(page, 'an incident that was resolved')
    await page.goto('/ops/alerts?tab=history')
    const row = page.getByRole('row').filter({ hasText: 'failures' }).filter({ hasText: 'Resolved' })
    await row.first().waitFor()
    const told = await ui.api('GET', `/api/v1/ops/alerts/${id}`)
    assert.equal(told.status, 'resolved')
    assert.deepEqual(
      told.steps.map((one) => [one.event, one.operator ?? null]),
      [
        ['fired', null],
        ['acknowledged', 'admin'],
        ['resolved', 'admin'],
      ],
    )
  })
})
