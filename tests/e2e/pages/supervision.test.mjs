// Supervision as a sorted table, and with something wrong: books that do not balance, and records that no table took.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, everyLook, isFocused, looks, settled, sizes, turn } from '../support/console.mjs'
import { walk } from '../support/walk.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

const table = '/ops/supervision?view=table'
const rows = (page) => page.getByRole('grid').locator('[role=row][data-index]')
const dialog = (page) => page.getByRole('dialog')

test('the sorted table, in every size, theme and language', () =>
  ui.shoot('supervision-table', table, async (page) => {
    await rows(page).first().waitFor()
    assert.equal(await page.getByRole('treegrid').count(), 0)
  }))

test('the table by keyboard: another order, a row, its actor and back', () =>
  ui.visit(table, async (page) => {
    await rows(page).first().waitFor()
    const head = page.getByRole('columnheader', { name: 'Name' })
    const names = () => rows(page).locator('.font-mono').allInnerTexts()
    await head.getByRole('button').focus()
    await page.keyboard.press('Enter')
    await page.waitForURL(/sort=-name/)
    assert.equal(await head.getAttribute('aria-sort'), 'descending')
    const falling = await names()
    await page.keyboard.press('Enter')
    await page.waitForURL(/sort=name/)
    await page.waitForFunction((first) => document.querySelector('[data-index="0"] .font-mono').textContent !== first, falling[0])
    const rising = await names()
    assert.deepEqual(rising, [...rising].sort(), 'in order')
    assert.ok(rising.length > 5 && rising[0] !== falling[0])

    await rows(page).first().focus()
    await page.keyboard.press('ArrowDown')
    assert.ok(await isFocused(rows(page).nth(1)))
    await page.keyboard.press('Enter')
    await page.waitForURL((url) => url.pathname === `/ops/supervision/${rising[1]}` && url.searchParams.get('view') === 'table')
    await dialog(page).getByText('Last exit').first().waitFor()
    // The way to the next one is the table's, not the tree's.
    await page.keyboard.press('j')
    await page.waitForURL((url) => url.pathname === `/ops/supervision/${rising[2]}`)
    await page.keyboard.press('Escape')
    await dialog(page).waitFor({ state: 'detached' })
    assert.equal(new URL(page.url()).searchParams.get('sort'), 'name')
  }))

for (const size of Object.keys(sizes)) {
  test(`the keyboard reaches everything beside and in the table, ${size}`, () =>
    ui.visit(
      table,
      async (page) => {
        await rows(page).first().waitFor()
        await settled(page)
        await walk(page, 'main', `supervision as a table (${size})`)
      },
      { size },
    ))
}

test('on a phone the table has an order to choose, and its rows open', () =>
  ui.visit(
    table,
    async (page) => {
      await rows(page).first().waitFor()
      await page.getByRole('button', { name: 'Order and row height' }).click()
      await dialog(page).getByRole('combobox').selectOption('name')
      await page.waitForURL(/sort=name/)
      await page.keyboard.press('Escape')
      await dialog(page).waitFor({ state: 'detached' })
      await rows(page).first().click()
      await page.waitForURL(/\/ops\/supervision\/root/)
      await dialog(page).getByText('Last exit').first().waitFor()
    },
    { size: 'phone' },
  ))

test('books that do not balance and dead letters are told, and these are given another try', () =>
  ui.visit(
    '/ops/nowhere',
    async (page) => {
      await page.locator('main h1').waitFor()
      // Only what is asked for can be replaced: nothing is pushed.
      await page.routeWebSocket(/\/api\/v1\/ws/, (socket) => socket.close())
      await page.route('**/api/v1/supervision/ledger', async (route) => {
        const answer = await route.fetch()
        const odd = { accepted: 1_204_377, stored: 1_204_360, spooled: 4, dead_lettered: 3, dropped: 2, balanced: false }
        await route.fulfill({ response: answer, json: { ...(await answer.json()), ...odd } })
      })
      const letter = (seq, reason) => ({ id: `0-${seq}`, node: 0, seq, reason, accepted_at: null, replayed_at: null, created_at: new Date(Date.now() - seq * 60_000).toISOString() })
      const items = [letter(7, 'cannot be read'), letter(9, `a number is out of range: ${'9'.repeat(90)}`), letter(11, 'no such partition')]
      await page.route(/\/api\/v1\/logs\/dead-letters\?/, (route) => route.fulfill({ json: { items, next_cursor: null } }))
      await page.goto('/ops/supervision')
      await page.getByText('The equation does not hold').waitFor()
      const ledger = page.getByRole('region', { name: 'Loss ledger' })
      assert.deepEqual((await ledger.locator('dd').allInnerTexts()).map((term) => term.replace(/\s/g, '')), ['1,204,377', '=1,204,360', '+4', '+3', '+2'])
      const letters = page.getByRole('region', { name: 'Dead letters' })
      assert.equal(await letters.getByRole('listitem').count(), 3)
      await everyLook(page, 'supervision-in-trouble')
      await turn(page, looks[0])
      await letters.getByRole('button').first().click()
      await dialog(page).getByRole('button').last().click()
      // The job is a real one, and this Steward has no letters.
      await letters.getByText(/succeeded/).waitFor()
      await page.unrouteAll({ behavior: 'wait' })
    },
    { tolerated: [/WebSocket/] },
  ))

test('a ledger that is refused says why, and comes when it is asked for again', () =>
  ui.visit(
    '/ops/nowhere',
    async (page) => {
      await page.locator('main h1').waitFor()
      await page.routeWebSocket(/\/api\/v1\/ws/, (socket) => socket.close())
      const calls = '**/api/v1/supervision/ledger'
      const body = JSON.stringify({ title: 'Not now', status: 403, code: 'told_by_test', detail: 'Told by a test.', errors: [] })
      await page.route(calls, (route) => route.fulfill({ status: 403, contentType: 'application/problem+json', body }))
      await page.goto('/ops/supervision')
      const ledger = page.getByRole('region', { name: 'Loss ledger' })
      await ledger.getByText('Told by a test.').waitFor()
      await page.getByRole('treegrid').waitFor()
      await everyLook(page, 'supervision-ledger-refused', { pictured: false })
      await turn(page, looks[0])
      await page.unroute(calls)
      await ledger.getByRole('button', { name: 'Try again' }).click()
      await ledger.getByText('The equation holds').waitFor()
    },
    { tolerated: [/WebSocket/, /403 .*supervision\/ledger/] },
  ))
