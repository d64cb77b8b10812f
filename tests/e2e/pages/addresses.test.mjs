// An address says what is shown: the time range from page to page, and what is open over a list.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console } from '../support/console.mjs'
import { fill } from '../support/pages.mjs'

let ui
before(async () => {
  ui = await Console.start()
  await fill(ui)
})
after(() => ui?.stop())

const dialog = (page) => page.getByRole('dialog')

test('a range goes along from page to page in the address: a copied one shows a colleague the same, and Back each its own', () =>
  ui.visit('/ops/overview', async (page) => {
    const range = (words, on = page) => on.getByRole('button', { name: `Time range: ${words}` }).waitFor()
    const follow = (noun) => page.locator(`nav a[href="/ops/${noun}"]`).click()
    const at = (path, said) => page.waitForURL((url) => url.pathname === `/ops/${path}` && url.searchParams.get('range') === said)
    await range('Last 24 hours')
    await follow('usage')
    await at('usage', null)
    await page.getByRole('button', { name: 'Time range: Last 24 hours' }).click()
    await page.getByRole('button', { name: 'Last 7 days' }).click()
    await at('usage', '7d')
    await follow('requests')
    await at('requests', '7d')
    const copied = page.url()
    await page.locator('[role=row][data-index]').first().click()
    await dialog(page).waitFor()
    assert.equal(new URL(page.url()).searchParams.get('range'), '7d')
    // A page without a range says none, and the next one that has one does.
    await follow('jobs')
    await at('jobs', null)
    await follow('audit')
    await at('audit', '7d')

    await ui.visit(copied, (other) => range('Last 7 days', other))

    await page.goBack()
    await at('jobs', null)
    await page.goBack()
    await page.waitForURL((url) => url.pathname.startsWith('/ops/requests/') && url.searchParams.get('range') === '7d')
    await page.goBack()
    await at('requests', '7d')
    await page.goBack()
    await at('usage', '7d')
    await page.goBack()
    await at('usage', '24h')
    await range('Last 24 hours')
    await page.goBack()
    await at('overview', null)
    await range('Last 24 hours')

    // A link may bring a range of its own; the page it stands on keeps its own.
    await page.locator('main').getByRole('link', { name: 'Feedback', exact: true }).click()
    await at('feedback', '90d')
    await range('Last 90 days')
    await page.goBack()
    await at('overview', null)
    await range('Last 24 hours')

    // Entered in the same tab, an address shows what it says, not what was chosen there before.
    await page.goto('/ops/requests?range=30d')
    await range('Last 30 days')
    await page.goto('/ops/requests')
    await range('Last 24 hours')
  }))

test('an operator and a role have addresses of their own, and so have the forms of new ones', async () => {
  await ui.api('POST', '/api/v1/ops/roles', { name: 'watchers', permissions: ['read:logs'] })
  const { items: people } = await ui.api('GET', '/api/v1/ops/users')
  const { items: roles } = await ui.api('GET', '/api/v1/ops/roles')
  const looker = people.find((one) => one.username === 'looker')
  const watchers = roles.find((role) => role.name === 'watchers')
  const ready = async (page) => {
    await dialog(page).locator('form fieldset:enabled').waitFor()
  }
  await ui.shoot('operator', `/ops/operators/${looker.id}`, ready)
  await ui.shoot('role', `/ops/operators/${watchers.id}?tab=roles`, ready)
  await ui.shoot('operator-new', '/ops/operators?new=1', ready)
  await ui.visit('/ops/operators', async (page) => {
    const at = (address) => page.waitForURL((url) => url.pathname + url.search === address)
    await page.getByRole('row').filter({ hasText: 'looker' }).click()
    await at(`/ops/operators/${looker.id}`)
    await page.getByRole('heading', { name: 'Edit looker' }).waitFor()
    await page.goBack()
    await dialog(page).waitFor({ state: 'detached' })
    await at('/ops/operators')
    await page.goto('/ops/operators?tab=roles')
    await page.getByRole('row').filter({ hasText: 'watchers' }).click()
    await at(`/ops/operators/${watchers.id}?tab=roles`)
    // What was typed is not taken away by Back without a question.
    page.once('dialog', (question) => question.dismiss())
    await dialog(page).locator('[name=permissions]').fill('read:tokens')
    await page.keyboard.press('Enter')
    await dialog(page).getByRole('button', { name: 'Remove read:tokens' }).waitFor()
    await page.goBack({ waitUntil: 'commit' }).catch(() => {})
    await at(`/ops/operators/${watchers.id}?tab=roles`)
    page.once('dialog', (question) => question.accept())
    await page.keyboard.press('Escape')
    await at('/ops/operators?tab=roles')
    await page.getByRole('button', { name: 'Add role' }).click()
    await at('/ops/operators?tab=roles&new=1')
    await dialog(page).getByRole('button', { name: 'Cancel' }).click()
    await at('/ops/operators?tab=roles')
  })
  await ui.visit('/ops/operators/opr_of_nobody', (page) => dialog(page).getByText('There is no such operator').waitFor(), { tolerated: [/404 .*ops\/users\/opr_of_nobody/] })
})
