// A demonstration says that it is one, before and after signing in, and lets everybody in.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, settled } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start({ demo: true })))
after(() => ui?.stop())

const signedOut = { signedIn: false, tolerated: [/401 .*\/api\/v1\/auth\/refresh/] }

test('the sign-in box tells who one is, fills it in, and every page is marked', () =>
  ui.visit(
    '/ops/',
    async (page) => {
      await page.getByText('This is a demo. Sign in as admin with demo-steward.').waitFor()
      await page.getByRole('button', { name: 'Fill in' }).click()
      assert.equal(await page.getByLabel('Username').inputValue(), 'admin')
      assert.equal(await page.locator('input[type=password]').inputValue(), 'demo-steward')
      await page.locator('input[type=password]').press('Enter')
      await page.locator('nav a').first().waitFor()
      const mark = page.getByText('Demo', { exact: true }).filter({ visible: true })
      await mark.first().waitFor()
      assert.equal(await page.getByTitle('A simulated provider and made-up traffic. Nothing here is real.').count(), 1)
      // Its made-up month is there to be looked at: no first steps.
      await settled(page)
      await page.getByRole('heading', { name: 'Three steps to the first call' }).waitFor({ state: 'detached' })
      await page.goto('/ops/tokens')
      await mark.first().waitFor()
    },
    signedOut,
  ))

test('what is not a demonstration is not marked', async () => {
  const real = await Console.start()
  try {
    await real.visit('/ops/tokens', async (page) => {
      await page.locator('nav a').first().waitFor()
      await page.getByRole('heading', { level: 1 }).waitFor()
      await settled(page)
      assert.equal(await page.getByText('Demo', { exact: true }).count(), 0)
    })
  } finally {
    await real.stop()
  }
})
