// Knowledge: pairs of every tenant, found, written, edited and removed, one by one and many at once.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
let tenants
before(async () => {
  ui = await Console.start()
  tenants = []
  for (const name of ['Kimono One', '和服店 A']) tenants.push((await ui.api('POST', '/api/v1/ops/tenants', { name })).id)
})
after(() => ui?.stop())

const pairs = '/api/v1/ops/knowledge/qa-pairs'
const button = (scope, name) => scope.getByRole('button', { name, exact: true })
const dialog = (page, name) => page.getByRole('dialog', { name })
const row = (page, text) => page.locator('[role=row][data-index]', { hasText: text })

test('a pair is written; one that asks the same is told of, and added only when that is wanted', async () => {
  await ui.visit(
    '/ops/knowledge',
    async (page) => {
      await page.getByText('No question and answer yet').waitFor()
      await assertAccessible(page, 'knowledge, empty')
      const write = async (question) => {
        await button(page, 'New pair').first().click()
        const form = dialog(page, 'New pair')
        await form.locator('[name=tenant_id]').selectOption({ label: 'Kimono One' })
        await form.locator('[name=question]').fill(question)
        await form.locator('[name=answer]').fill('三千円起。')
        await form.locator('[name=category]').fill('价格')
        await form.locator('[name=quality_score]').fill('0.95')
        return form
      }
      const form = await write('租借价格是多少？')
      await assertAccessible(page, 'a new pair')
      await button(form, 'Create').click()
      await row(page, '租借价格是多少').getByText('0.95').waitFor()
      await page.getByText('one pair · of one tenant · mean quality 0.95').waitFor()

      const again = await write('租借价格 是多少?')
      await button(again, 'Create').click()
      await again.getByText('is asked already').waitFor()
      await again.locator('[name=allow_duplicate]').check()
      await button(again, 'Create').click()
      await again.waitFor({ state: 'detached' })
      await page.getByText('2 pairs').waitFor()
    },
    { tolerated: [/status of 409/] },
  )
})

test('a pair is edited and removed; filters stand in the address', async () => {
  await ui.api('POST', pairs, { tenant_id: tenants[1], question: 'How do I book?', answer: 'Call us.', category: '预约' })
  await ui.visit(`/ops/knowledge?tenant_id=${tenants[1]}`, async (page) => {
    await page.locator('[role=row][data-index]').first().waitFor()
    assert.equal(await page.locator('[role=row][data-index]').count(), 1)
    await row(page, 'How do I book').click()
    const it = dialog(page, 'How do I book?')
    await button(it, 'Edit').click()
    const form = dialog(page, 'Edit the pair')
    await form.locator('[name=answer]').fill('Write to us.')
    await form.locator('[name=quality_score]').fill('2')
    await form.getByText('Must be a number between 0 and 1').waitFor()
    await form.locator('[name=quality_score]').fill('0.4')
    await button(form, 'Save').click()
    await it.getByText('Write to us.').waitFor()
    await assertAccessible(page, 'one pair')
    await button(it, 'Delete').click()
    await button(dialog(page, 'Delete the pair?'), 'Delete').click()
    await page.getByText('How do I book?').first().waitFor({ state: 'detached' })
  })
})

test('many are changed and removed at once, as jobs', async () => {
  for (let n = 1; n <= 3; n++) {
    await ui.api('POST', pairs, { tenant_id: tenants[1], question: `Question ${n}`, answer: 'A', category: 'old' })
  }
  await ui.visit('/ops/knowledge?category=old', async (page) => {
    await page.getByRole('checkbox', { name: 'Choose “Question 1”' }).check()
    await page.getByRole('checkbox', { name: 'Choose “Question 2”' }).check()
    await button(page, 'Change category').click()
    const form = dialog(page, 'Another category for 2 pairs')
    await form.locator('[name=category]').fill('new')
    await assertAccessible(page, 'another category for many')
    await button(form, 'Change category').click()
    await form.getByText('100').first().waitFor()
    await button(form, 'Close').last().click()
    await row(page, 'Question 1').waitFor({ state: 'detached' })
    await page.getByRole('checkbox', { name: 'Choose “Question 3”' }).check()
    await button(page, 'Delete').click()
    const remove = dialog(page, 'Delete one pair')
    await button(remove, 'Delete').click()
    await remove.getByText('100').first().waitFor()
    await button(remove, 'Close').last().click()
    await row(page, 'Question 3').waitFor({ state: 'detached' })
  })
  const { items } = await ui.api('GET', `${pairs}?keyword=Question`)
  assert.deepEqual(items.map((one) => one.category), ['new', 'new'])
})
