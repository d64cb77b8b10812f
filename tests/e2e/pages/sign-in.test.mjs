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

test('two tabs of one session: the cookie turns over beneath both, and both go on', async () => {
  await ui.api('POST', '/api/v1/tokens', { name: 'billing' })
  await ui.api('POST', '/api/v1/accounts', { name: 'upstream', provider: 'fake', protocol: 'openai', base_url: `${ui.provider.url}/v1`, api_key: 'sk-upstream', models: ['*'] })
  await ui.visit(
    '/ops/overview',
    async (first) => {
      await first.locator('main h1').waitFor()
      const context = first.context()
      const second = await context.newPage()
      await second.goto('/ops/usage')
      await second.locator('main h1').waitFor()
      const both = [first, second]
      const renewals = []
      context.on('response', (answer) => {
        if (answer.url().endsWith('/api/v1/auth/refresh')) renewals.push(answer.status())
      })
      const cookie = async () => (await context.cookies()).map(({ value }) => value).join()
      const key = (page) => page.getByRole('row').filter({ hasText: 'billing' }).first()
      const over = { status: 401, contentType: 'application/problem+json', body: JSON.stringify({ title: 'Over', status: 401, code: 'token_expired', detail: '', errors: [] }) }
      const before = await cookie()
      for (const noun of ['tokens', 'accounts']) {
        // The token of both is refused at once, and each asks for another.
        for (const page of both) await page.route(new RegExp(`/api/v1/${noun}\\?`), (route) => route.fulfill(over), { times: 1 })
        await Promise.all(both.map((page) => page.locator(`nav a[href="/ops/${noun}"]`).click()))
        for (const page of both) await (noun === 'tokens' ? key(page) : page.getByRole('row').filter({ hasText: 'upstream' }).first()).waitFor()
      }
      assert.ok(renewals.length >= 2, `renewed ${renewals.length} times`)
      assert.notEqual(await cookie(), before, 'it is another cookie')
      // Both begin anew at once: each by a cookie that is used once.
      await Promise.all(both.map((page) => page.goto('/ops/tokens')))
      for (const page of both) {
        await key(page).click()
        await page.getByRole('dialog').getByRole('button', { name: 'Rotate' }).waitFor()
        assert.equal(await field(page).count(), 0)
      }
      assert.deepEqual(renewals.filter((status) => status !== 200), [])
      // And one who leaves, leaves in both.
      await first.locator('header [aria-haspopup=menu]').click()
      await first.getByRole('menuitem', { name: 'Sign out' }).click()
      for (const page of both) await field(page).waitFor()
    },
    { tolerated: [/status of 401/, /WebSocket/] },
  )
})
