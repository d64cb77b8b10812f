// Usage: what the page tells is what the books hold; a row, a filter, a measure live in the address; a key has a usage
// of its own.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
let key
before(async () => {
  ui = await Console.start()
  await ui.api('POST', '/api/v1/accounts', {
    name: 'upstream',
    provider: 'fake',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['gpt-4o', 'gpt-4o-mini'],
  })
  key = await ui.api('POST', '/api/v1/tokens', {
    name: 'shop',
    app: 'storefront',
    token_quota: 1_000_000,
  })
  for (const model of ['gpt-4o', 'gpt-4o', 'gpt-4o', 'gpt-4o-mini', 'unknown-model']) {
    const answer = await fetch(`${ui.url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key.token}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({
        model,
        messages: [{ role: 'user', content: 'Hello' }],
      }),
    })
    await answer.text()
  }
  // The books are written behind the answers.
  const deadline = Date.now() + 15_000
  for (;;) {
    const { request_count } = await ui.api('GET', '/api/v1/stats/overview')
    if (request_count === 5) break
    assert.ok(Date.now() < deadline, `${request_count} of 5 calls on the books`)
    await new Promise((wake) => setTimeout(wake, 100))
  }
})
after(() => ui?.stop())

const row = (page, name) => page.getByRole('row').filter({ hasText: name })
const choice = (page, group, name) => page.getByRole('group', { name: group }).getByText(name, { exact: true })

test('a curve is chosen by its name: the whole page tells of it, and the table by another trait of its calls alone', () =>
  ui.visit('/ops/usage', async (page) => {
    await row(page, 'gpt-4o-mini').waitFor()
    const only = page.getByRole('button', { name: 'Only gpt-4o', exact: true })
    await only.focus()
    await page.keyboard.press('Enter')
    await page.waitForURL((url) => url.searchParams.get('model') === 'gpt-4o')
    await page.getByText(/Requests\s*3/).first().waitFor()
    // The rest of what is not told apart is no choice.
    assert.equal(await page.getByRole('button', { name: 'Only Others', exact: true }).count(), 0)
    await choice(page, 'By', 'Provider').click()
    await page.getByRole('row').filter({ hasText: 'fake' }).getByText('3', { exact: true }).first().waitFor()
    await page.goBack()
    await only.waitFor()
  }))

test('the table holds what the books hold; a row shows its own numbers, and Back the ones before', () =>
  ui.visit('/ops/usage', async (page) => {
    await row(page, 'gpt-4o-mini').waitFor()
    const gpt4o = page.getByRole('row').filter({ has: page.getByText('gpt-4o', { exact: true }) })
    const cells = await gpt4o.getByRole('gridcell').allInnerTexts()
    assert.deepEqual(cells.slice(0, 3), ['gpt-4o', 'fake', '3'])
    const told = await page.locator('main').innerText()
    assert.match(told, /Requests\s+5\s/)
    // One model that nobody offers was refused.
    assert.match(told, /Success\s+80%\s+1 failed/)

    await row(page, 'gpt-4o-mini').click()
    await page.waitForURL(/model=gpt-4o-mini/)
    await page.getByText('The calls that pass the filter').waitFor()
    await page.getByText('100%', { exact: true }).first().waitFor()
    assert.equal(await row(page, 'gpt-4o-mini').getAttribute('aria-selected'), 'true')
    await assertAccessible(page, 'usage of a model')

    await choice(page, 'By', 'App').click()
    await row(page, 'storefront').click()
    await page.waitForURL((url) => url.searchParams.get('app') === 'storefront' && !url.searchParams.has('model'))
    await page.goBack()
    await page.waitForURL(/model=gpt-4o-mini/)
  }))

test('every measure has its table, and every group its rows', () =>
  ui.visit('/ops/usage', async (page) => {
    await row(page, 'gpt-4o-mini').waitFor()
    for (const measure of ['Tokens', 'Errors', 'Latency p95', 'Requests']) {
      await choice(page, 'What is drawn', measure).click()
      await page.getByRole('button', { name: 'Show as table' }).click()
      await page.getByRole('region', { name: measure, exact: true }).last().getByRole('table').waitFor()
      await page.getByRole('button', { name: 'Show as chart' }).click()
    }
    for (const [group, name] of [
      ['Provider', 'fake'],
      ['Account', 'upstream'],
      ['API key', 'shop'],
      ['Tenant', 'No tenant'],
      ['App', 'storefront'],
    ]) {
      await choice(page, 'By', group).click()
      await row(page, name).first().waitFor()
    }
    await choice(page, 'How it is drawn', 'Against the period before').click()
    await page.waitForURL(/view=against/)
    await page.getByText('Period before', { exact: true }).waitFor()
  }))

test('numbers and calls become files that the browser fetches by itself', async () => {
  const file = async (page, item) => {
    const fetched = page.waitForEvent('download')
    await page.getByRole('menuitem', { name: item, exact: true }).click()
    const download = await fetched
    const lines = (await readFile(await download.path(), 'utf8')).replace(/\r\n$/, '').split('\r\n')
    return { name: download.suggestedFilename(), lines }
  }
  await ui.visit('/ops/usage', async (page) => {
    await row(page, 'gpt-4o-mini').waitFor()
    await page.getByRole('button', { name: 'Export' }).click()
    const { name, lines } = await file(page, 'The table, CSV')
    assert.equal(name, 'stats-top.csv')
    assert.equal(lines.length, 1 + 3)
    assert.match(lines[0], /^\ufeffkey,id,name,provider,share,request_count,/)
  })
  await ui.visit('/ops/requests?model=gpt-4o', async (page) => {
    await row(page, 'gpt-4o').first().waitFor()
    await page.getByRole('button', { name: 'Export' }).click()
    const { name, lines } = await file(page, 'CSV')
    assert.equal(name, 'requests.csv')
    assert.equal(lines.length, 1 + 3)
  })
})

test("a key's usage: sums, quota and its calls", () =>
  ui.visit(`/ops/tokens/${key.id}`, async (page) => {
    const drawer = page.getByRole('dialog', { name: 'shop' })
    await choice(drawer, 'What is shown of the key', 'Usage').click()
    await page.waitForURL(/tab=usage/)
    await drawer.getByText('1 failed').waitFor()
    const meter = drawer.getByRole('meter')
    assert.equal(await meter.getAttribute('aria-valuemax'), '1000000')
    assert.ok(Number(await meter.getAttribute('aria-valuenow')) > 0)
    await drawer.getByRole('button', { name: 'Show its calls' }).click()
    await page.waitForURL(new RegExp(`requests.*token_id=${key.id}`))
  }))

test('usage and the usage of a key, in every size, theme and language', async () => {
  const drawn = (page) => page.locator('canvas').first().waitFor()
  await ui.shoot('usage-filled', '/ops/usage', drawn)
  await ui.shoot('usage-against', '/ops/usage?view=against&by=token&measure=tokens', drawn)
  await ui.shoot('tokens-usage', `/ops/tokens/${key.id}?tab=usage`, drawn)
})
