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
    await page.getByLabel('Per unit').fill('0.000016')
    await assertAccessible(page, 'price form')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText(/The price of .* is set/).waitFor()
    await page.getByRole('dialog').getByText('Own price').first().waitFor()
    await page.getByRole('dialog').getByText('$0.000016').waitFor()
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

test('prices: what long prompts cost is shown, kept and set', () =>
  ui.visit('/ops/prices?tab=all&q=gemini-2.5-pro', async (page) => {
    const row = page.getByRole('row').filter({ hasText: 'gemini-2.5-pro' }).first()
    await row.waitFor()
    await row.click()
    const drawer = page.getByRole('dialog')
    await drawer.getByText('Prompts of more than 200,000 tokens').waitFor()
    await assertAccessible(page, 'price drawer with tiers')
    await page.getByRole('button', { name: 'Set another price' }).click()
    const first = page.getByRole('group', { name: 'Long prompts, step 1' })
    await first.getByLabel('Input').waitFor()
    await page.getByRole('button', { name: 'Add a step' }).click()
    const second = page.getByRole('group', { name: 'Long prompts, step 2' })
    await second.getByLabel('More prompt tokens than').fill('500000')
    await second.getByLabel('Input').fill('7.5')
    await assertAccessible(page, 'price form with tiers')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText(/The price of .* is set/).waitFor()
    await page.getByRole('dialog').getByText('Prompts of more than 500,000 tokens').waitFor()
    await page.getByRole('dialog').getByText('$7.50').first().waitFor()
    await page.getByRole('dialog').getByText('Prompts of more than 200,000 tokens').waitFor()
  }))
