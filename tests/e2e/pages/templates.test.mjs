// Templates: written once, handed out to chosen tenants and to all, with a preview that asks what becomes of a tenant's own
// words, and the outcome tenant by tenant.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console, settled } from '../support/console.mjs'

let ui
before(async () => {
  ui = await Console.start()
  for (const name of ['Kimono One', '和服店 A', '和服店 B']) await ui.api('POST', '/api/v1/ops/tenants', { name })
})
after(() => ui?.stop())

const button = (scope, name) => scope.getByRole('button', { name, exact: true })
const dialog = (page, name) => page.getByRole('dialog', { name })
const grid = (page) => page.getByRole('grid', { name: 'Templates' })
const row = (page, text) => page.locator('[role=row][data-index]', { hasText: text })

test('without a template the page says what to do; one is written, and no second asks the same', async () => {
  await ui.visit('/ops/templates', async (page) => {
    await page.getByText('No template yet').waitFor()
    await assertAccessible(page, 'templates, empty')
    await button(page, 'New template').last().click()
    const form = dialog(page, 'New template')
    await form.locator('[name=question]').fill('租借价格是多少？')
    await form.locator('[name=answer]').fill('三千円起。')
    await form.locator('[name=category]').fill('价格')
    await assertAccessible(page, 'a new template')
    await button(form, 'Create').click()
    await row(page, '租借价格是多少').getByText('0/3').waitFor()

    await button(page, 'New template').first().click()
    await form.locator('[name=question]').fill('租借价格 是多少?')
    await form.locator('[name=answer]').fill('x')
    await button(form, 'Create').click()
    await form.getByText('is taken').waitFor()
  }, { tolerated: [/status of 409/] })
})

test('templates are handed out to chosen tenants, then to all; the list says how far each has come', async () => {
  await ui.api('POST', '/api/v1/ops/templates', { question: 'How do I book?', answer: 'Call us.', category: '预约' })
  await ui.visit('/ops/templates', async (page) => {
    await page.getByRole('checkbox', { name: 'Choose “How do I book?”' }).check()
    await page.getByText('one chosen').waitFor()
    await button(page, 'Hand out to chosen tenants').click()
    const form = dialog(page, 'Hand out one template')
    await form.getByText('Choose a tenant.').waitFor()
    assert.ok(await button(form, 'Hand out').isDisabled(), 'to nobody')
    await form.getByRole('checkbox', { name: 'Kimono One' }).check()
    await form.getByText('one new pair').waitFor()
    await assertAccessible(page, 'handing out')
    await button(form, 'Hand out').click()
    await form.getByText('Tenant by tenant').waitFor()
    await form.getByText('1 made').waitFor()
    await button(form, 'Close').last().click()
    await row(page, 'How do I book').getByText('1/3').waitFor()

    await page.getByRole('checkbox', { name: 'Choose “How do I book?”' }).check()
    await page.getByRole('checkbox', { name: /租借价格/ }).check()
    await button(page, 'Hand out to all tenants').click()
    const both = dialog(page, 'Hand out 2 templates')
    await both.getByText('5 new pairs').waitFor()
    await both.getByText('one up to date already').waitFor()
    await button(both, 'Hand out').click()
    await both.getByText('Tenant by tenant').waitFor()
    await button(both, 'Close').last().click()
    await row(page, 'How do I book').getByText('3/3').waitFor()
    await row(page, '租借价格').getByText('3/3').waitFor()
  })
})

test('a template that changed is outdated until it is handed out again', async () => {
  await ui.visit('/ops/templates', async (page) => {
    await grid(page).getByText('How do I book?').click()
    const it = dialog(page, 'How do I book?')
    await it.getByText('up to date').first().waitFor()
    await button(it, 'Edit').click()
    const form = dialog(page, 'Edit the template')
    await form.getByText('3 tenants have it and will be outdated').waitFor()
    await form.locator('[name=answer]').fill('Write to us.')
    await button(form, 'Save').click()
    await it.getByText('outdated', { exact: true }).first().waitFor()
    await assertAccessible(page, 'a template and its tenants')
    await button(it, 'Hand out').click()
    const give = dialog(page, 'Hand out one template')
    await give.getByText('3 to update').waitFor()
    await button(give, 'Hand out').click()
    await give.getByText('1 updated').first().waitFor()
    await button(give, 'Close').last().click()
    await it.getByText('none outdated').waitFor()
    await settled(page)
  })
  const { items } = await ui.api('GET', '/api/v1/ops/templates?q=book')
  assert.deepEqual([items[0].distributed_count, items[0].outdated_count, items[0].revision], [3, 0, 2])
})

test('what a tenant edited is asked about before it is touched, and stays when it is kept', async () => {
  const { items: pairs } = await ui.api('GET', '/api/v1/ops/knowledge/qa-pairs?keyword=book')
  const edited = pairs.find((one) => one.tenant_name === '和服店 A')
  const { question, category } = edited
  await ui.api('PUT', `/api/v1/ops/knowledge/qa-pairs/${edited.id}`, { question, category, answer: 'Only at our shop.' })
  const { items } = await ui.api('GET', '/api/v1/ops/templates?q=book')
  const text = { question: items[0].question, category: items[0].category, answer: 'Book on our site.' }
  await ui.api('PUT', `/api/v1/ops/templates/${items[0].id}`, text)
  await ui.visit(`/ops/templates/${items[0].id}`, async (page) => {
    const it = dialog(page, 'How do I book?')
    await it.getByText('edited, and outdated').waitFor()
    await button(it, 'Hand out').click()
    const give = dialog(page, 'Hand out one template')
    await give.getByText('In one place a tenant has words of its own.').waitFor()
    await give.getByText('What the tenant has, and what the template says').click()
    await give.getByText('Only at our shop.').waitFor()
    await give.getByLabel('For this one').selectOption({ label: 'Keep theirs until the template changes again' })
    await assertAccessible(page, 'what becomes of a tenant\'s own words')
    await button(give, 'Hand out').click()
    await give.getByText('1 kept').waitFor()
    await button(give, 'Close').last().click()
    await it.getByText('edited by the tenant').waitFor()
  })
  const kept = await ui.api('GET', `/api/v1/ops/knowledge/qa-pairs/${edited.id}`)
  assert.equal(kept.answer, 'Only at our shop.')
})

test('a template is deleted; what tenants have of it stays with them', async () => {
  await ui.visit('/ops/templates', async (page) => {
    await grid(page).getByText('How do I book?').click()
    await button(dialog(page, 'How do I book?'), 'Delete').click()
    await button(dialog(page, 'Delete the template?'), 'Delete').click()
    await row(page, 'How do I book').waitFor({ state: 'detached' })
  })
  const { total } = await ui.api('GET', '/api/v1/ops/knowledge/qa-pairs?keyword=book')
  assert.equal(total, 3)
})
