// User tokens: an issuer of our own made with a key of its own, tried, rotated, turned off; one of Supabase from its preset.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
before(async () => {
  ui = await Console.start({ env: { STEWARD__HEALTH__INTERVAL_MS: '500' } })
  const account = {
    name: 'upstream',
    provider: 'fake',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['*'],
  }
  await ui.api('POST', '/api/v1/accounts', account)
})
after(() => ui?.stop())

const call = (token) =>
  fetch(`${ui.url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({
      model: 'gpt-4o',
      messages: [{ role: 'user', content: 'Hello' }],
    }),
  })

test('an issuer of our own: made, its tokens open the gateway, rotated, turned off', () =>
  ui.visit('/ops/jwt-issuers', async (page) => {
    await page.getByText('No issuer yet').waitFor()
    await assertAccessible(page, 'user tokens, empty')
    await page.getByRole('button', { name: 'Add issuer' }).first().click()
    await page.getByRole('textbox', { name: /^Name/ }).fill('shop')
    await assertAccessible(page, 'issuer form')
    await page.getByRole('button', { name: 'Save' }).click()
    const drawer = page.getByRole('dialog', { name: 'shop' })
    await drawer.getByText('EdDSA').waitFor()
    await drawer.getByRole('button', { name: 'Try it' }).click()
    await drawer.getByRole('status').getByText('Works').waitFor()
    // Its health comes with the next look.
    await drawer.getByText('Healthy').first().waitFor()
    await assertAccessible(page, 'issuer drawer')

    await drawer.getByRole('button', { name: 'Issue a token' }).click()
    await page.getByRole('textbox', { name: /^User/ }).fill('user-42')
    await page.getByRole('dialog', { name: 'Issue a token' }).getByRole('button', { name: 'Issue a token' }).click()
    const shown = page.locator('[data-secret]')
    await shown.getByText('ey').waitFor()
    await assertAccessible(page, 'issued token')
    const token = (await shown.locator('code, pre').first().innerText()).trim()
    assert.equal((await call(token)).status, 200)
    await page.getByRole('dialog', { name: 'Issue a token' }).getByRole('button', { name: 'Close' }).last().click()

    await drawer.getByRole('button', { name: 'Look at a token' }).click()
    await page.getByRole('textbox', { name: 'Token' }).fill(`${token}x`)
    await page.getByRole('button', { name: 'Look', exact: true }).click()
    await drawer.getByText('Its signature does not hold.').waitFor()

    await drawer.getByRole('button', { name: 'New key' }).click()
    await assertAccessible(page, 'rotation')
    await page.getByRole('dialog', { name: 'Sign with a new key?' }).getByRole('button', { name: 'New key' }).click()
    await drawer.getByText(/Taken until/).waitFor()
    assert.equal((await call(token)).status, 200)

    await drawer.getByRole('button', { name: 'Turn off' }).click()
    await drawer.getByRole('button', { name: 'Turn on' }).waitFor()
    assert.equal((await call(token)).status, 401)
    await drawer.getByRole('button', { name: 'Turn on' }).click()
    await drawer.getByRole('button', { name: 'Turn off' }).waitFor()
    assert.equal((await call(token)).status, 200)
    // The key that was made for it is a key like any other.
    await drawer.getByRole('link', { name: 'Its API key' }).click()
    await page.getByText('Settings of the users of shop').first().waitFor()
  }))

test('an issuer from a preset, and the server’s word at its field', () =>
  ui.visit(
    '/ops/jwt-issuers',
    async (page) => {
      await page.getByRole('row').filter({ hasText: 'shop' }).first().waitFor()
      await page.getByRole('button', { name: 'Add issuer' }).first().click()
      await page.getByLabel('From').selectOption('supabase-secret')
      await page.getByLabel('Project reference').fill('abcdefghijkl')
      assert.equal(await page.getByLabel(/^Issuer/).inputValue(), 'https://abcdefghijkl.supabase.co/auth/v1')
      assert.equal(await page.getByLabel(/^Audience/).inputValue(), 'authenticated')
      await page.getByRole('textbox', { name: /^Name/ }).fill('supabase')
      await page.getByLabel(/^Shared secret/).fill('short')
      await page.getByRole('button', { name: 'Save' }).click()
      await page.getByText('must have 32 to 512 bytes').first().waitFor()
      await assertAccessible(page, 'issuer form, refused')
      await page.getByLabel(/^Shared secret/).fill('canary-secret-of-at-least-32-characters')
      await page.getByRole('button', { name: 'Save' }).click()
      const drawer = page.getByRole('dialog', { name: 'supabase' })
      await drawer.getByRole('button', { name: 'Try it' }).click()
      await drawer.getByRole('status').getByText('Works').waitFor()
      assert.ok(!(await page.content()).includes('canary'))
      // One key was made, though the first try was refused.
      const { items } = await ui.api('GET', '/api/v1/tokens')
      assert.equal(items.filter((key) => key.name === 'supabase').length, 1)
      await drawer.getByRole('button', { name: 'Delete' }).click()
      await page.getByRole('dialog', { name: 'Delete supabase?' }).getByRole('button', { name: 'Delete' }).click()
      await page.getByText('supabase is deleted').waitFor()
    },
    { tolerated: [/status of 422/] },
  ))
