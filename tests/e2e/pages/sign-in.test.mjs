// Signing in: one form, one password field, reachable by everybody.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, password } from '../support/console.mjs'

let ui
before(async () => {
  ui = await Console.start()
})
after(() => ui?.stop())

const signedOut = { signedIn: false, tolerated: [/401 .*\/api\/v1\/auth\/(refresh|login)/] }
const field = (page) => page.locator('input[type=password]')

test('the form has one password field, in every size, theme and language', async () => {
  await ui.shoot(
    'sign-in',
    '/ops/',
    async (page) => {
      await field(page).waitFor()
      assert.equal(await field(page).count(), 1)
    },
    signedOut,
  )
})

test('a wrong password is told, the right one opens the console', async () => {
  await ui.visit(
    '/ops/',
    async (page) => {
      const name = page.locator('form input:not([type=password]):not([type=checkbox])').first()
      await name.fill('admin')
      await field(page).fill('not the password')
      await field(page).press('Enter')
      await page.locator('[role=alert]').first().waitFor()
      assert.equal(await field(page).count(), 1)
      await name.fill('admin')
      await field(page).fill(password)
      await field(page).press('Enter')
      await page.locator('nav a').first().waitFor()
      assert.equal(await field(page).count(), 0)
    },
    signedOut,
  )
})

test('a session survives a reload', async () => {
  await ui.visit('/ops/', async (page) => {
    await page.locator('nav a').first().waitFor()
    await page.reload()
    await page.locator('nav a').first().waitFor()
  })
})
