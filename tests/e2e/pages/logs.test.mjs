// System logs: a line is found, leads to what it was about, and the tail stands still when it is told to.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, assertNoSidewaysScrolling, Console } from '../support/console.mjs'

let ui
/** Something to report: an account whose address nobody listens on is tested, and a sign-in fails. */
before(async () => {
  // What is written beside calls of the console is `info`.
  ui = await Console.start({ env: { STEWARD__LOG__STORED_LEVEL: 'INFO' } })
  await ui.api('POST', '/api/v1/ops/retention/run', {})
})
after(() => ui?.stop())

test('logs: lines of a level, searched, opened, the tail paused', () =>
  ui.visit('/ops/logs?level=INFO', async (page) => {
    const grid = page.getByRole('grid', { name: 'System logs' })
    await grid.getByText('a job begins').first().waitFor()
    await assertAccessible(page, 'logs')
    await page.getByText(/Every level since/).waitFor()

    await page.getByPlaceholder('Search lines').fill('a job begins')
    await page.waitForURL('**q=a+job+begins**')
    await grid.getByRole('row').nth(1).waitFor()
    await page.getByRole('button', { name: 'Pause' }).click()
    const paused = page.getByRole('button', { name: 'Resume' })
    await paused.waitFor()
    const before = await grid.getByRole('row').count()
    await ui.api('POST', '/api/v1/ops/retention/run', {})
    await page.getByRole('button', { name: /^\d+ new$|^One new$/ }).waitFor()
    assert.equal(await grid.getByRole('row').count(), before, 'what one reads stays')
    await paused.click()
    await page.getByRole('button', { name: /^\d+ new$|^One new$/ }).waitFor({ state: 'detached' })

    await grid.getByText('a job begins').first().click()
    const drawer = page.getByRole('dialog')
    await drawer.getByText('retention.run').first().waitFor()
    await assertAccessible(page, 'a line')
    await drawer.getByRole('button', { name: 'Only this source' }).click()
    await page.waitForURL('**source=**')
  }))

test('a line is opened by its address, also where the list does not reach; one that is gone is said to be', async () => {
  const { items } = await ui.api('GET', '/api/v1/ops/logs/query?level=INFO&q=a%20job%20begins&limit=1')
  const [line] = items
  await ui.visit(
    `/ops/logs/${line.id}?level=ERROR&from=2020-01-01T00%3A00%3A00Z&to=2020-01-02T00%3A00%3A00Z`,
    async (page) => {
      const drawer = page.getByRole('dialog')
      await drawer.getByText('a job begins').waitFor()
      await drawer.getByText('retention.run').first().waitFor()
      await page.getByRole('main').getByText('Nothing matches').waitFor()
      await page.goto('/ops/logs/1-0')
      await drawer.getByText('There is no such line any more').waitFor()
      await assertAccessible(page, 'a line that is gone')
    },
    { tolerated: [/404 .*ops\/logs\/query\/1-0/] },
  )
})

test('logs: the pane on the overview', async () => {
  const account = {
    name: 'upstream',
    provider: 'fake',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['*'],
  }
  await ui.api('POST', '/api/v1/accounts', account)
  const { token } = await ui.api('POST', '/api/v1/tokens', { name: 'billing' })
  const answer = await fetch(`${ui.url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({
      model: 'gpt-4o',
      messages: [{ role: 'user', content: 'Hello' }],
    }),
  })
  await answer.text()
  await ui.visit('/ops/overview', async (page) => {
    const level = page.getByRole('combobox', { name: 'Level', exact: true })
    await level.waitFor()
    assert.equal(await level.inputValue(), 'WARN')
    await level.selectOption('INFO')
    await page.getByText('a job begins').first().waitFor()
    await assertAccessible(page, 'overview')
  })
})

test('logs on a phone, in Chinese', () =>
  ui.visit(
    '/ops/logs?level=INFO',
    async (page) => {
      await page.getByText('a job begins').first().waitFor()
      await assertAccessible(page, 'logs, phone')
      await assertNoSidewaysScrolling(page, 'logs, phone')
    },
    { size: 'phone', language: 'zh', theme: 'dark' },
  ))
