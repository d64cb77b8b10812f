// The way of somebody new: the printed password, a first account, a first key, a call with OpenAI's own SDK, and the call
// in the console, on a page that was open before it was made.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import OpenAI from 'openai'
import { Console, password } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start({ secret: null })))
after(() => ui?.stop())

test('from the first start to the first call, and its record', () =>
  ui.visit(
    '/ops/',
    async (page) => {
      const printed = ui.steward.lines.map((line) => /sign in as admin with the password (\S+)/.exec(line)?.[1]).find(Boolean)
      assert.ok(printed, ui.steward.lines.join('\n'))
      const dialog = page.getByRole('dialog')
      const button = (scope, name) => scope.getByRole('button', { name, exact: true })

      await page.getByLabel('Username').fill('admin')
      await page.locator('input[type=password]').fill(printed)
      await page.keyboard.press('Enter')
      await page.locator('[name=current_password]').fill(printed)
      await page.locator('[name=new_password]').fill(password)
      await page.locator('[name=new_password_again]').fill(password)
      await page.keyboard.press('Enter')
      await page.locator('nav').waitFor()

      await page.goto('/ops/accounts?new=1')
      await dialog.locator('[name=preset]').selectOption('other')
      await dialog.locator('[name=name]').fill('house provider')
      await dialog.locator('[name=provider]').fill('house')
      await dialog.locator('[name=base_url]').fill(`${ui.provider.url}/v1`)
      await dialog.locator('[name=api_key]').fill('sk-provider-secret')
      await button(dialog, 'Save').click()
      await page.getByText(/It works/).waitFor()

      await page.goto('/ops/tokens?new=1')
      await dialog.locator('[name=name]').fill('first app')
      await button(dialog, 'Create').click()
      const secret = (await page.locator('[data-secret] code').innerText()).trim()
      await dialog.getByLabel('I saved it').check()
      await button(dialog, 'Done').click()
      await dialog.waitFor({ state: 'detached' })

      // The page is open and empty; what comes in is shown without a word.
      await page.goto('/ops/requests')
      const rows = page.locator('[role=row][data-index]')
      await page.getByRole('heading', { level: 1 }).waitFor()
      assert.equal(await rows.count(), 0)
      const client = new OpenAI({ baseURL: `${ui.url}/v1`, apiKey: secret, maxRetries: 0 })
      const answer = await client.chat.completions.create({
        model: 'gpt-4o',
        messages: [{ role: 'user', content: 'Hello' }],
      })
      assert.ok(answer.choices[0].message.content)
      await rows.filter({ hasText: 'gpt-4o' }).first().click()
      await page.waitForURL(/requests\/[0-9a-f-]{36}/)
      await dialog.getByRole('heading', { name: 'gpt-4o', exact: true }).waitFor()
      await dialog.getByText('first app').first().waitFor()
      await dialog.getByText('house provider').first().waitFor()
    },
    { signedIn: false, tolerated: [/401 .*\/api\/v1\/auth\/refresh/] },
  ))
