// From the sign-in page to the first call in the drawer, without a mouse.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, isFocused, password } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

test('signs in, adds an account, makes a key, sees the call', () =>
  ui.visit(
    '/ops/',
    async (page) => {
      const key = (name) => page.keyboard.press(name)
      const type = (text) => page.keyboard.type(text)
      /** Tab until it has the focus. */
      const tabTo = async (locator) => {
        await locator.waitFor()
        for (let step = 0; step < 80; step++) {
          if (await isFocused(locator)) return
          await key('Tab')
        }
        assert.fail(`Tab does not lead to ${locator}`)
      }
      const dialog = page.getByRole('dialog')
      const button = (name) => dialog.getByRole('button', { name, exact: true })

      await tabTo(page.getByLabel('Username'))
      await type('admin')
      await key('Tab')
      await type(password)
      await key('Enter')

      await page.locator('nav').waitFor()
      await key('g')
      await key('a')
      await page.waitForURL('**/ops/accounts')
      await tabTo(page.getByRole('main').getByRole('button', { name: 'Add account' }).first())
      await key('Enter')
      await tabTo(dialog.locator('[name=preset]'))
      // A letter chooses from a closed list; the last preset is the one for any provider.
      await key('End')
      await tabTo(dialog.locator('[name=name]'))
      await type('house provider')
      await tabTo(dialog.locator('[name=provider]'))
      await type('house')
      await tabTo(dialog.locator('[name=base_url]'))
      await type(`${ui.provider.url}/v1`)
      await tabTo(dialog.locator('[name=api_key]'))
      await type('sk-provider-secret')
      await key('Enter')
      await page.getByText(/It works/).waitFor()
      // What the test said, and the new account below it.
      await key('Escape')
      await dialog.nth(1).waitFor({ state: 'detached' })
      await key('Escape')
      await dialog.first().waitFor({ state: 'detached' })

      await key('g')
      await key('k')
      await page.waitForURL('**/ops/tokens')
      await tabTo(page.getByRole('main').getByRole('button', { name: 'Create key' }).first())
      await key('Enter')
      await dialog.locator('[name=name]:focus').waitFor()
      await type('first app')
      await key('Enter')
      const secret = (await page.locator('[data-secret] code').innerText()).trim()
      // The examples are a row of choices, which arrows walk.
      await tabTo(dialog.getByRole('radio', { name: 'curl' }))
      await key('ArrowRight')
      await dialog.getByText('from openai import OpenAI').waitFor()
      await tabTo(dialog.getByLabel('I saved it'))
      await key('Space')
      await tabTo(button('Done'))
      await key('Enter')
      await dialog.waitFor({ state: 'detached' })

      for (const model of ['gpt-4o', 'gpt-4o-mini']) {
        const answer = await fetch(`${ui.url}/v1/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
          body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }),
        })
        assert.equal(answer.status, 200, await answer.text())
      }
      await key('g')
      await key('r')
      await page.waitForURL('**/ops/requests')
      const rows = page.locator('[role=row][data-index]')
      await rows.nth(1).waitFor()
      await tabTo(rows.first())
      await key('Enter')
      await page.waitForURL(/requests\/[0-9a-f-]{36}/)
      await dialog.getByRole('heading', { name: 'gpt-4o-mini' }).waitFor()
      await key('j')
      await dialog.getByRole('heading', { name: 'gpt-4o', exact: true }).waitFor()
      await key('Escape')
      await page.waitForURL((url) => url.pathname === '/ops/requests')
      await dialog.waitFor({ state: 'detached' })

      // Back to where one was, not to the top of the page.
      assert.ok(await page.evaluate(() => document.activeElement?.closest('main') !== null), 'the focus is back in the list')
      await key('/')
      await page.locator('[data-shortcut=search]:focus').waitFor()
      await type('gpt-4o-mini')
      await key('Enter')
      await page.waitForURL(/q=gpt-4o-mini/)
    },
    { signedIn: false, tolerated: [/401 .*\/api\/v1\/auth\/refresh/] },
  ))
