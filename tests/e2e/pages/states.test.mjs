// What a page shows when the session ends, and how much of a long list it holds. The server's answers are replaced in the
// browser; the console is the real one. (Empty, waiting and refused pages: `every/`.)
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console, password } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

const problem = (status, code, title) => ({
  status,
  contentType: 'application/problem+json',
  headers: { 'x-request-id': '0198a0b1-0000-7000-8000-0123456789ab' },
  body: JSON.stringify({ type: `about:blank#${code}`, title, status, code, detail: 'Told by a test.', errors: [] }),
})

test('a session that ends under a form loses nothing typed', () =>
  ui.visit(
    '/ops/tokens',
    async (page) => {
      await page.getByRole('button', { name: 'Create key' }).first().click()
      const name = page.getByRole('dialog').getByLabel('Name', { exact: false }).first()
      await name.fill('typed before the end')
      const calls = /\/api\/v1\/tokens(\?|$)/
      const over = (route) => route.fulfill(problem(401, 'token_expired', 'Over'))
      await page.route(calls, over)
      // The cookie stays refused: a page that asks in the background would otherwise be let in again by itself.
      await page.route(/\/api\/v1\/auth\/refresh/, over)
      await page.getByRole('button', { name: 'Create', exact: true }).click()
      const secret = page.locator('input[type=password]')
      await secret.waitFor()
      await assertAccessible(page, 'signing in again')
      await page.unroute(calls, over)
      await secret.fill('not the password')
      await secret.press('Enter')
      await page.locator('[role=dialog] [role=alert]').waitFor()
      await secret.fill(password)
      await secret.press('Enter')
      // The call that waited went on.
      await page.locator('[data-secret] code').waitFor()
      const { items } = await ui.api('GET', '/api/v1/tokens?limit=50')
      assert.deepEqual(items.map((item) => item.name), ['typed before the end'])
    },
    { tolerated: [/401/] },
  ))

test('a long list is drawn as far as it is seen, a drawer opens at its heading, a view is kept', () =>
  ui.visit('/ops/nowhere', async (page) => {
    await page.locator('h1, h2').first().waitFor()
    const length = 100_000
    await page.route(/\/api\/v1\/logs\/requests(\?|$)/, (route) => {
      const query = new URL(route.request().url()).searchParams
      const [from, limit] = [Number(query.get('cursor') ?? 0), Number(query.get('limit') ?? 100)]
      const items = Array.from({ length: Math.min(limit, length - from) }, (_, at) => call(from + at))
      const next_cursor = from + limit < length ? String(from + limit) : null
      return route.fulfill({ status: 200, contentType: 'application/json', body: JSON.stringify({ items, next_cursor, total: length, total_is_exact: true }) })
    })
    await page.locator('nav a[href="/ops/requests"]').click()
    const rows = page.locator('[role=row][data-index]')
    await rows.first().waitFor()
    let most = 0
    for (let step = 0; step < 30; step++) {
      const known = Number(await page.getByRole('grid').getAttribute('aria-rowcount'))
      await page.getByRole('grid').evaluate((box) => (box.scrollTop = box.scrollHeight))
      const now = await page.evaluate(() => document.querySelectorAll('[role=row][data-index]').length)
      most = Math.max(most, now)
      assert.ok(known === -1 || known > 0)
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
    }
    const last = await page.evaluate(() => Math.max(...[...document.querySelectorAll('[role=row][data-index]')].map((row) => Number(row.dataset.index))))
    assert.ok(last > 200, `scrolled past the first pages, to row ${last}`)
    assert.ok(most < 120, `${most} rows in the page at once`)

    await page.getByRole('button', { name: 'Saved views' }).click()
    await page.getByLabel('Name of this view').fill('as it was')
    await page.getByRole('button', { name: 'Save view' }).click()
    await page.getByRole('button', { name: 'as it was', exact: true }).waitFor()
    await assertAccessible(page, 'saved views')
    await page.keyboard.press('Escape')

    await rows.nth(3).click()
    await page.getByRole('dialog').waitFor()
    const focused = await page.evaluate(() => document.activeElement?.tagName)
    assert.equal(focused, 'H2', 'what it is comes before what can be done')

    // The way along the list starts where the record stands, wherever one came from.
    const drawer = page.getByRole('dialog')
    const shown = () => page.evaluate(() => new URL(location.href).pathname.split('/').at(-1))
    await page.goto(`/ops/requests/${call(7).id}`)
    await drawer.getByText('8 of 100,000').waitFor()
    await page.keyboard.press('j')
    await drawer.getByText('9 of 100,000').waitFor()
    assert.equal(await shown(), call(8).id)
    await drawer.getByRole('button', { name: /^Previous/ }).click()
    await drawer.getByText('8 of 100,000').waitFor()
    assert.equal(await shown(), call(7).id)
    await page.goto(`/ops/requests/${call(0).id}`)
    await drawer.getByText('1 of 100,000').waitFor()
    assert.ok(await drawer.getByRole('button', { name: /^Previous/ }).isDisabled())
  }, { tolerated: [/404/] }))

/** A call as the list gives it. */
function call(at) {
  return {
    id: `0198a0b1-0000-7000-8000-${String(at).padStart(12, '0')}`,
    request_at: new Date(Date.UTC(2026, 0, 1) - at * 1000).toISOString(),
    operation: 'chat.completions',
    model: `model-${at % 7}`,
    provider: 'openai',
    stream: at % 2 === 0,
    success: true,
    status_code: 200,
    duration_ms: 300 + (at % 900),
    prompt_tokens: at % 500,
    completion_tokens: at % 300,
    total_tokens: (at % 500) + (at % 300),
    attempts: 1,
  }
}
