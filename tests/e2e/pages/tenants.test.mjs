// Tenants: made, edited, suspended while their key is used, activated; their people see them and nobody else.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console, password, settled } from '../support/console.mjs'

let ui
before(async () => {
  ui = await Console.start()
  await ui.api('POST', '/api/v1/accounts', {
    name: 'upstream',
    provider: 'fake',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['*'],
  })
})
after(() => ui?.stop())

const button = (scope, name) => scope.getByRole('button', { name, exact: true })
const dialog = (page, name) => page.getByRole('dialog', { name })
const row = (page, text) => page.locator('[role=row][data-index]', { hasText: text })
const idIn = (page) => new URL(page.url()).pathname.split('/').at(-1)

/** A call as the tenant's application makes it. */
async function call(token) {
  const answer = await fetch(`${ui.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello' }] }),
  })
  return { status: answer.status, code: (await answer.json()).error?.code }
}

test('a tenant is made, edited, suspended, which its key feels at once, and activated', async () => {
  await ui.visit(
    '/ops/tenants',
    async (page) => {
      await page.getByText('No tenant yet').waitFor()
      await assertAccessible(page, 'tenants, empty')
      await button(page, 'New tenant').last().click()
      const made = dialog(page, 'New tenant')
      await made.locator('[name=name]').fill('Kimono One')
      await made.locator('[name=daily_budget]').fill('a lot')
      await button(made, 'Create').click()
      await made.getByText('must be a decimal number').waitFor()
      await assertAccessible(page, 'a new tenant')
      await made.locator('[name=daily_budget]').fill('20')
      await button(made, 'Create').click()

      // What comes next is said on the tenant itself.
      const it = dialog(page, 'Kimono One')
      await it.getByText('Nobody signs in for this tenant yet.').waitFor()
      const id = idIn(page)
      await button(it, 'Edit').click()
      const form = dialog(page, 'Edit Kimono One')
      assert.equal(await form.locator('[name=daily_budget]').inputValue(), '20')
      await form.locator('[name=name]').fill('和服店 A')
      await form.locator('[name=monthly_budget]').fill('300.5')
      await form.locator('[name=budget_currency]').selectOption('CNY')
      await button(form, 'Save').click()
      const renamed = dialog(page, '和服店 A')
      await renamed.getByText('¥300.50').waitFor()
      await row(page, '和服店 A').getByText('Active', { exact: true }).waitFor()

      const { token } = await ui.api('POST', '/api/v1/tokens', { name: 'shop', tenant_id: id })
      assert.equal((await call(token)).status, 200)
      await button(renamed, 'Suspend').click()
      const asked = dialog(page, 'Suspend 和服店 A?')
      await asked.locator('[name=reason]').fill('Invoice of May is open')
      await assertAccessible(page, 'suspending a tenant')
      await button(asked, 'Suspend').click()
      await renamed.getByText('Reason: Invoice of May is open').waitFor()
      assert.deepEqual(await call(token), { status: 403, code: 'tenant_suspended' })
      await row(page, '和服店 A').getByText('Suspended', { exact: true }).waitFor()
      await assertAccessible(page, 'a suspended tenant')

      await button(renamed, 'Activate').click()
      await button(renamed, 'Suspend').waitFor()
      assert.equal((await call(token)).status, 200)
      await renamed.getByText('Reason:').waitFor({ state: 'detached' })
    },
    { tolerated: [/status of 422/] },
  )
  const { items } = await ui.api('GET', '/api/v1/ops/logs/operations?target_type=tenant')
  assert.deepEqual(
    items.map(({ action }) => action),
    ['tenants.activate', 'tenants.suspend', 'tenants.update', 'tenants.create'],
  )
})

test('a person is added, with a password that is shown once, and sees this tenant only', async () => {
  const { id } = await ui.api('POST', '/api/v1/ops/tenants', { name: 'Kimono Two' })
  await ui.visit(`/ops/tenants/${id}`, async (page) => {
    const it = dialog(page, 'Kimono Two')
    await button(it, 'Add person').click()
    const form = dialog(page, 'Add a person to Kimono Two')
    await form.locator('[name=username]').fill('two.clerk')
    await form.locator('[name=display_name]').fill('Ann')
    await form.locator('[name=role]').selectOption('tenant_admin')
    await form.getByText('nothing beyond the tenant').waitFor()
    await assertAccessible(page, 'a new person')
    await button(form, 'Create').click()
    const secret = dialog(page, 'Hand over the password')
    assert.match((await secret.locator('[data-secret] code').innerText()).trim(), /^\S{20}$/)
    await secret.getByRole('checkbox').check()
    await button(secret, 'Done').click()
    await it.getByText('two.clerk').waitFor()
    await it.getByText('Administrators 1, staff 0').waitFor()
    // The way to everything else about people.
    await it.getByRole('link', { name: 'Manage people' }).click()
    await page.waitForURL(`**/ops/operators?tenant_id=${id}`)
    await row(page, 'two.clerk').getByText('Kimono Two').waitFor()
    assert.equal(await page.locator('[role=row][data-index]').count(), 1)
    await settled(page)
    await assertAccessible(page, 'operators of a tenant')
  })

  await ui.api('POST', '/api/v1/ops/users', { username: 'two.boss', role: 'tenant_admin', tenant_id: id, password })
  await ui.visit(
    '/ops/tenants',
    async (page) => {
      await row(page, 'Kimono Two').waitFor()
      assert.equal(await page.locator('[role=row][data-index]').count(), 1)
      assert.equal(await button(page, 'New tenant').count(), 0)
      await row(page, 'Kimono Two').click()
      const it = dialog(page, 'Kimono Two')
      await it.getByText('two.clerk').waitFor()
      assert.equal(await button(it, 'Suspend').count(), 0)
      await button(it, 'Add person').waitFor()
    },
    { as: 'two.boss' },
  )
})

test('filters and order stand in the address; the palette leads to a tenant', async () => {
  for (const name of ['Aoi', 'Zen']) await ui.api('POST', '/api/v1/ops/tenants', { name })
  const { items } = await ui.api('GET', '/api/v1/ops/tenants?q=zen')
  await ui.api('POST', `/api/v1/ops/tenants/${items[0].id}/suspend`, { reason: '' })
  const names = (page) => page.locator('[role=row][data-index] [role=gridcell]:first-child').allInnerTexts()
  await ui.visit('/ops/tenants?status=active&sort=name', async (page) => {
    await row(page, 'Aoi').waitFor()
    const { length } = await names(page)
    assert.ok(length >= 2)
    assert.equal((await names(page))[0].trim(), 'Aoi')
    assert.equal(await row(page, 'Zen').count(), 0)
    await page.getByText('1 suspended').waitFor()
    await page.getByRole('columnheader', { name: 'Name' }).getByRole('button').click()
    await page.waitForURL('**/tenants?status=active&sort=-name')
    await page.waitForFunction(() => !document.querySelector('[role=row][data-index="0"]')?.textContent.includes('Aoi'))
    await button(page, 'Remove Status').click()
    await row(page, 'Zen').waitFor()

    await page.keyboard.press('Control+k')
    const palette = dialog(page, 'Command palette')
    await palette.getByRole('combobox').fill('zen')
    await palette.getByRole('option', { name: 'Zen' }).click()
    await page.waitForURL(`**/ops/tenants/${items[0].id}**`)
    const it = dialog(page, 'Zen')
    await it.getByText('Never active').first().waitFor()
    await it.getByRole('link', { name: 'Knowledge' }).click()
    await page.waitForURL(`**/ops/knowledge?tenant_id=${items[0].id}`)
    await page.getByText('Nothing matches').waitFor()
  })
})

test('a tenant is told on a phone and in Chinese', async () => {
  const { items } = await ui.api('GET', '/api/v1/ops/tenants?q=aoi')
  await ui.shoot('tenant', `/ops/tenants/${items[0].id}`, async (page) => {
    await page.getByRole('dialog').getByText(/30/).first().waitFor()
    await settled(page)
  })
})

test('who only reads changes nothing, and one that is not there is said to be gone', async () => {
  await ui.api('POST', '/api/v1/ops/users', { username: 'vera', role: 'ops_viewer', password })
  const { items } = await ui.api('GET', '/api/v1/ops/tenants?q=aoi')
  await ui.visit(
    `/ops/tenants/${items[0].id}`,
    async (page) => {
      const it = dialog(page, 'Aoi')
      await button(it, 'Close').first().waitFor()
      for (const name of ['Edit', 'Suspend', 'Add person']) assert.equal(await button(it, name).count(), 0, name)
    },
    { as: 'vera' },
  )
  await ui.visit('/ops/tenants/ten_nowhere', (page) => page.getByText('There is no such tenant').waitFor(), { tolerated: [/status of 404/] })
})
