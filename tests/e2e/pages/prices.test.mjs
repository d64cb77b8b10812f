// Prices: one is set over the list's, the model's history tells both, and the past is charged anew.
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

test('prices: list, override, history, recalculation', () =>
  ui.visit('/ops/prices?tab=all&q=gpt-4o-mini', async (page) => {
    await page.getByRole('row').filter({ hasText: 'gpt-4o-mini' }).first().waitFor()
    await assertAccessible(page, 'prices')
    await page.getByRole('row').filter({ hasText: 'gpt-4o-mini' }).first().click()
    await page.getByRole('button', { name: 'Set another price' }).click()
    await page.getByLabel('Input', { exact: false }).first().fill('0.20')
    await assertAccessible(page, 'price form')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText(/The price of .* is set/).waitFor()
    await page.getByRole('dialog').getByText('Own price').first().waitFor()
    await assertAccessible(page, 'price drawer')
    await page.goto('/ops/prices?tab=all')
    await page.getByRole('button', { name: 'Recalculate' }).click()
    await assertAccessible(page, 'recalculate')
    await page.getByRole('button', { name: 'Start' }).click()
    await page.getByText(/Succeeded|Done|100/).first().waitFor()
    await page.goto('/ops/prices?tab=unpriced')
    await page.getByText('Every model that was called has a price').waitFor()
    await assertAccessible(page, 'unpriced')
  }))
