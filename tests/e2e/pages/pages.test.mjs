// The way from an empty Steward to the first call on the books, by clicking only; and what pages have in common: the
// palette, shortcuts, rows and drawers, a viewer's view, two people at once. (`every/` holds all to the same.)
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Console, assertAccessible, everyLook, looks, parts, password, settled } from '../support/console.mjs'
import { fillWatching, watching } from '../support/pages.mjs'

let ui
before(async () => (ui = await Console.start({ env: watching })))
after(() => ui?.stop())

const heading = (page) => page.locator('h1').waitFor()
test('from nothing to the first call on the books', async () => {
  await ui.visit('/ops/', async (page) => {
    await page.getByRole('button', { name: 'Add account' }).click()
    await page.getByLabel('Provider', { exact: true }).selectOption('other')
    await page.getByLabel('Name', { exact: false }).first().fill('house provider')
    await page.getByLabel('Provider slug').fill('openai')
    await page.getByLabel('Base URL').fill(`${ui.provider.url}/v1`)
    await page.getByLabel('API key', { exact: false }).last().fill('sk-provider-secret')
    await assertAccessible(page, 'account form')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText(/It works/).waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click()
    await page.goto('/ops/tokens')
    await page.getByRole('button', { name: 'Create key' }).first().click()
    await page.getByRole('dialog').getByLabel('Name', { exact: false }).first().fill('first app')
    await assertAccessible(page, 'key form')
    await page.getByRole('button', { name: 'Create', exact: true }).click()
    const secret = (await page.locator('[data-secret] code').innerText()).trim()
    assert.match(secret, /^sk-stw-/)
    await assertAccessible(page, 'reveal')
    const done = page.getByRole('button', { name: 'Done' })
    assert.equal(await done.isDisabled(), true, 'a secret is not lost by a stray click')
    await page.getByLabel('I saved it').check()
    await done.click()
    const answer = await fetch(`${ui.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello' }] }),
    })
    assert.equal(answer.status, 200, await answer.clone().text())
    const id = answer.headers.get('x-request-id')
    await page.goto('/ops/requests')
    const row = page.getByRole('row').filter({ hasText: 'gpt-4o' })
    await row.first().click()
    await page.waitForURL(`**/ops/requests/${id}`)
    await page.getByRole('dialog').getByText(id).first().waitFor()
    await assertAccessible(page, 'request drawer')
  })
})

test('roles and operator keys', async () => {
  await ui.shoot('roles', '/ops/operators?tab=roles', heading)
  await ui.shoot('operator-keys', '/ops/operators?tab=keys', heading)
})

test('the keyboard alone: palette, shortcuts, rows and drawer', () =>
  ui.visit('/ops/overview', async (page) => {
    await heading(page)
    await page.keyboard.press('Control+k')
    await page.getByRole('dialog').getByRole('combobox').fill('superv')
    await assertAccessible(page, 'palette')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/ops/supervision')
    await page.getByRole('treegrid').waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog').waitFor()
    await assertAccessible(page, 'shortcuts')
    await page.keyboard.press('Escape')
    await page.keyboard.press('g')
    await page.keyboard.press('r')
    await page.waitForURL('**/ops/requests')
    const first = page.getByRole('row').nth(1)
    await first.waitFor()
    await first.focus()
    await page.keyboard.press('Enter')
    await page.waitForURL(/requests\/[0-9a-f-]{36}/)
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.waitForURL((url) => url.pathname === '/ops/requests')
  }))

test('an actor is restarted on demand', () =>
  ui.visit('/ops/supervision', async (page) => {
    await page.getByRole('row').filter({ hasText: 'batch_writer' }).click()
    await page.getByRole('button', { name: 'Restart' }).click()
    await page.getByRole('dialog').last().getByRole('button', { name: 'Restart' }).click()
    await page.getByText('batch_writer is up again').waitFor()
    await page.getByText('Last exit').first().waitFor()
    await assertAccessible(page, 'actor drawer')
  }))

test('a viewer sees everything and can change nothing', async () => {
  await ui.api('POST', '/api/v1/ops/users', { username: 'looker', role: 'ops_viewer', password, must_change_password: true })
  await ui.visit(
    '/ops/tokens',
    async (page) => {
      await page.getByLabel('Username').fill('looker')
      await page.locator('input[type=password]').fill(password)
      await page.getByRole('button', { name: 'Sign in' }).click()
      // A password that somebody else set is changed before anything else.
      await page.locator('input[name=current_password]').fill(password)
      await page.locator('input[name=new_password]').fill(`${password}-2`)
      await page.locator('input[name=new_password_again]').fill(`${password}-2`)
      await page.getByRole('button', { name: 'Save' }).click()
      await heading(page)
      await page.getByRole('row').filter({ hasText: 'first app' }).first().waitFor()
      assert.equal(await page.getByRole('button', { name: 'Create key' }).count(), 0)
    },
    { signedIn: false, tolerated: [/401/, /auth\/refresh/, /instance/] },
  )
})

test('two operators editing one key: the second sees what the first did', () =>
  ui.visit(
    '/ops/tokens',
    async (page) => {
      await page.getByRole('row').filter({ hasText: 'first app' }).first().click()
      await page.getByRole('button', { name: 'Edit' }).click()
      await page.getByLabel('Requests per minute').fill('60')
      const id = new URL(page.url()).pathname.split('/').at(-1)
      await ui.api('PATCH', `/api/v1/tokens/${id}`, { description: 'changed by somebody else' })
      await page.getByRole('button', { name: 'Save' }).click()
      await page.getByText('Somebody else changed this meanwhile').waitFor()
      await page.getByText('changed by somebody else').first().waitFor()
      await assertAccessible(page, 'conflict')
      await page.getByRole('button', { name: 'Keep my changes' }).click()
      await page.getByText('first app is saved').waitFor()
      const { rpm, description } = await ui.api('GET', `/api/v1/tokens/${id}`)
      assert.deepEqual({ rpm, description }, { rpm: 60, description: 'changed by somebody else' })
    },
    { tolerated: [/412/] },
  ))

test('what watches, filled: alerts, channels and backups are accessible in every look', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'steward-e2e-'))
  try {
    await fillWatching(ui, folder)
    const pages = [
      ['/ops/alerts', 'spool has lines'],
      ['/ops/alerts?tab=history', 'already over'],
      ['/ops/alerts?tab=rules', 'spool has lines'],
      ['/ops/alerts?tab=silences', 'severity=warning'],
      ['/ops/channels', '值班群'],
      ['/ops/backups', 'steward-'],
      ['/ops/backups?tab=remote', 'dashboard_stats'],
    ]
    for (const [path, text] of pages) {
      await ui.visit(path, async (page) => {
        const ready = async () => {
          await page.getByRole('main').getByText(text).first().waitFor()
          await settled(page)
        }
        const name = `${path.replace('/ops/', '').replace('?tab=', '-')}-filled`
        // A page is where every word and every colour of its states is, so each look is examined.
        await everyLook(page, name, { examined: looks, part: parts.withoutFrame, ready })
        const first = page.locator('[role=row][data-index]').first()
        if (!(await first.isVisible()) || path.startsWith('/ops/backups')) return
        await first.click()
        await page.getByRole('dialog').waitFor()
        await everyLook(page, `${name}-record`, { examined: looks, part: parts.over, ready: settled })
      })
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
