// The JWT test bench: a run that holds, one whose calls fail, both compared; stopped runs keep what they have.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console, settled } from '../support/console.mjs'

let ui
before(async () => {
  ui = await Console.start()
  const account = {
    name: 'upstream',
    provider: 'fake',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['*'],
  }
  await ui.api('POST', '/api/v1/accounts', account)
})
after(() => ui?.stop())

test('nothing to try leads to the issuers', () =>
  ui.visit('/ops/jwt-tests', async (page) => {
    await page.getByText('No run yet').waitFor()
    await page.getByRole('button', { name: 'New run' }).first().click()
    await page.getByText('There is no issuer to try.').waitFor()
    await assertAccessible(page, 'no issuer')
    await page.getByRole('dialog').getByRole('link', { name: 'User tokens' }).click()
    await page.waitForURL('**/ops/jwt-issuers')
  }))

test('runs: made, followed, shown result by result, compared', async () => {
  const { id: token_id } = await ui.api('POST', '/api/v1/tokens', {
    name: 'web users',
  })
  await ui.api('POST', '/api/v1/jwt-issuers', {
    name: 'shop',
    kind: 'own',
    issuer: 'steward',
    audience: 'gateway',
    token_id,
  })
  await ui.visit('/ops/jwt-tests', async (page) => {
    const run = async (fill) => {
      await page.getByRole('button', { name: 'New run' }).first().click()
      await page.getByLabel('Tokens', { exact: true }).fill('25')
      await page.getByLabel('At the same time').fill('5')
      await fill()
      await assertAccessible(page, 'run form')
      await page.getByRole('button', { name: 'Start' }).click()
      await page.getByRole('heading', { name: 'Run of shop' }).waitFor()
      await page.getByRole('button', { name: 'Run again' }).waitFor()
      await settled(page)
    }
    const metric = (label) =>
      page
        .locator('section p')
        .filter({ hasText: new RegExp(`^${label}$`) })
        .locator('xpath=following-sibling::p[1]')

    await run(async () => {
      await page.getByLabel('Call with each token').selectOption('chat')
      await page.getByLabel('Model').fill('gpt-4o')
    })
    assert.equal((await metric('Held').innerText()).trim(), '100%')
    await page.getByRole('row').filter({ hasText: 'Held' }).first().waitFor()
    await assertAccessible(page, 'run')
    await page.getByRole('img', { name: 'How long each step took' }).waitFor()
    // Twenty-five real calls of one user are on the books.
    const deadline = Date.now() + 20_000
    const web = async () => (await ui.api('GET', '/api/v1/logs/requests?mode=web&limit=50')).items
    while ((await web()).length < 25) assert.ok(Date.now() < deadline, 'the calls are on the books')
    assert.deepEqual([...new Set((await web()).map((call) => call.user_name))], ['steward-jwt-test'])

    await page.getByRole('button', { name: 'All runs' }).click()
    await page.getByRole('row').filter({ hasText: 'shop' }).first().waitFor()
    await assertAccessible(page, 'runs')
    await run(async () => {
      await page.getByLabel('Call with each token').selectOption('chat')
      await page.getByLabel('Model').fill('gpt-4o+status=500')
    })
    assert.equal((await metric('Failed').innerText()).trim(), '25')
    await page.getByText('What failed').waitFor()
    await page
      .getByText(/^\d+ times$/)
      .first()
      .waitFor()

    const select = page.getByLabel('Compare with')
    await select.selectOption({ index: 1 })
    const table = page.getByRole('region', { name: 'Measure' })
    const held = table.getByRole('row').filter({ hasText: 'Held' })
    await held.getByText('100%', { exact: true }).waitFor()
    await held.getByText('-100%').or(held.getByText('−100%')).waitFor()
    await page.getByRole('radio', { name: 'Call' }).check({ force: true })
    await settled(page)
    await assertAccessible(page, 'comparison')
    // The comparison is in the address.
    const address = page.url()
    await page.goto(address)
    await table.waitFor()
  })
})

test('a run is looked at on a phone, in Chinese, in the dark', () =>
  ui.visit(
    '/ops/jwt-tests',
    async (page) => {
      await page.getByText('shop').first().click()
      await page.getByRole('heading', { name: 'shop 的测试' }).waitFor()
      await settled(page)
      await assertAccessible(page, 'run, phone')
      const width = await page.evaluate(() => document.documentElement.scrollWidth)
      assert.ok(width <= 390, `scrolls sideways: ${width}`)
    },
    { size: 'phone', theme: 'dark', language: 'zh' },
  ))
