// Knowledge: pairs of every tenant, found, written, edited and removed, one by one and many at once.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
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
      await again.getByText('One pair asks the same and answers:').waitFor()
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
    // On a phone too.
    await page.setViewportSize({ width: 390, height: 844 })
    await page.getByRole('checkbox', { name: 'Choose “Question 3”' }).check()
    await assertAccessible(page, 'a chosen card')
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

test('a file is sent, tried and brought in; its rows that are no pair are told; what is there goes out again', async () => {
  const rows = ['问题;答案;分类', '营业时间？;九点到六点。;时间', '如何付款？;;付款', '营业 时间?;全天。;时间', '可以退款吗？;七日内可以。;']
  await ui.visit(`/ops/knowledge?tenant_id=${tenants[1]}`, async (page) => {
    await button(page, 'Import').click()
    const form = dialog(page, 'Import pairs')
    await assertAccessible(page, 'a file to send')
    const file = { name: 'pairs.csv', mimeType: 'text/csv', buffer: Buffer.from(rows.join('\r\n')) }
    await form.locator('[name=file]').setInputFiles(file)
    await button(form, 'Send the file').click()
    await form.getByText('text in UTF-8').waitFor()
    assert.equal(await form.locator('[name=answer]').inputValue(), '1')
    await form.locator('[name=otherwise]').fill('其他')
    await assertAccessible(page, 'the columns of a file')
    const count = (name) => form.locator(`[data-count=${name}]`)
    await button(form, 'Try it').click()
    await form.getByText('It was only tried').waitFor()
    assert.deepEqual([await count('created').innerText(), await count('bad').innerText()], ['2', '2'])
    await form.getByText('asks the same as row 2').waitFor()
    await assertAccessible(page, 'what would come of a file')
    const { items: before } = await ui.api('GET', `${pairs}?source=import`)
    assert.equal(before.length, 0)
    // Its id is in the address: coming back is no loss.
    await page.reload()
    await button(form, 'Import').click()
    await form.getByText('All of it is brought in').waitFor()
    await button(form, 'Close').last().click()
    await row(page, '可以退款吗').getByText('其他').waitFor()

    await button(page, 'Export').click()
    const saving = page.waitForEvent('download')
    await page.getByRole('menuitem', { name: 'Text (csv)' }).click()
    assert.equal((await saving).suggestedFilename(), 'knowledge.csv')
  })
  const { items } = await ui.api('GET', `${pairs}?source=import`)
  assert.deepEqual(items.map((one) => one.question), ['可以退款吗？', '营业时间？'])
})

test('a workbook goes out, and comes in again for another tenant with every row', async () => {
  const question = (n) => `Workbook ${n}?`
  for (let n = 1; n <= 3; n++) {
    await ui.api('POST', pairs, { tenant_id: tenants[0], question: question(n), answer: '含“引号”，和逗号', category: 'book' })
  }
  let book
  await ui.visit(`/ops/knowledge?tenant_id=${tenants[0]}&category=book`, async (page) => {
    await row(page, question(1)).waitFor()
    await button(page, 'Export').click()
    const saving = page.waitForEvent('download')
    await page.getByRole('menuitem', { name: 'Excel (xlsx)' }).click()
    const saved = await saving
    assert.equal(saved.suggestedFilename(), 'knowledge.xlsx')
    book = await readFile(await saved.path())
  })
  assert.equal(book.subarray(0, 2).toString(), 'PK')
  await ui.visit(`/ops/knowledge?tenant_id=${tenants[1]}`, async (page) => {
    await button(page, 'Import').click()
    const form = dialog(page, 'Import pairs')
    const mimeType = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'
    await form.locator('[name=file]').setInputFiles({ name: 'book.xlsx', mimeType, buffer: book })
    await button(form, 'Send the file').click()
    await form.getByText('workbook, first sheet').waitFor()
    // Three pairs below their names.
    await form.getByText(/^4 · /).waitFor()
    await button(form, 'Import').click()
    await form.getByText('All of it is brought in').waitFor()
    assert.equal(await form.locator('[data-count=created]').innerText(), '3')
    await button(form, 'Close').last().click()
    await row(page, question(3)).waitFor()
  })
  const { items } = await ui.api('GET', `${pairs}?tenant_id=${tenants[1]}&keyword=Workbook`)
  assert.deepEqual(items.map((one) => [one.question, one.answer]).sort(), [1, 2, 3].map((n) => [question(n), '含“引号”，和逗号']))
})

test('rows that are no pair are paged through, and all of them saved; where pairs come from is told', async () => {
  const rows = ['question,answer', ...Array.from({ length: 150 }, (_, n) => `Bad ${n},`)]
  await ui.visit(`/ops/knowledge?tenant_id=${tenants[1]}`, async (page) => {
    await button(page, 'Import').click()
    const form = dialog(page, 'Import pairs')
    const file = { name: 'bad.csv', mimeType: 'text/csv', buffer: Buffer.from(rows.join('\n')) }
    await form.locator('[name=file]').setInputFiles(file)
    await button(form, 'Send the file').click()
    await button(form, 'Try it').click()
    await form.getByText('It was only tried').waitFor()
    await form.getByText('100 of 150').waitFor()
    assert.equal(await form.locator('tbody tr').count() >= 100, true)
    const saving = page.waitForEvent('download')
    await button(form, 'Download all as CSV').click()
    const saved = await saving
    assert.equal(saved.suggestedFilename(), 'import-errors.csv')
    const text = await readFile(await saved.path(), 'utf8')
    assert.ok(text.startsWith('\ufeff'), 'Excel takes it for UTF-8')
    const lines = text.trim().split('\r\n')
    assert.deepEqual([lines.length, lines[0], lines[1].startsWith('"2","answer","empty"')], [151, '"row","field","reason","message"', true])
    await button(form, 'More').click()
    await form.getByText('100 of 150').waitFor({ state: 'detached' })
    await button(form, 'More').waitFor({ state: 'detached' })
    await button(form, 'Remove the file').click()
    await form.waitFor({ state: 'detached' })
    const { by_source: sources, unsynced_count: unsynced } = await ui.api('GET', '/api/v1/ops/knowledge/overview')
    await page.getByRole('button', { name: `Wait to be synced ${unsynced}` }).waitFor()
    await page.getByRole('button', { name: `file ${sources.import}` }).click()
    await page.waitForURL('**source=import**')
    await assertAccessible(page, 'knowledge, where pairs come from')
  })
})

test('pairs that ask the same are made one, and a pair says why it is worth what', async () => {
  const add = (answer) => ui.api('POST', pairs, { tenant_id: tenants[1], question: '有停车场吗？', answer, category: '', allow_duplicate: true })
  const first = await add('有。')
  await add('三个车位，免费。')
  await ui.visit(`/ops/knowledge?tenant_id=${tenants[1]}`, async (page) => {
    await button(page, 'one question is asked twice').click()
    const list = dialog(page, 'Asked more than once')
    await assertAccessible(page, 'questions asked twice')
    await button(list, 'Merge the pairs that ask “有停车场吗？”').click()
    const form = dialog(page, 'Make it one pair')
    assert.equal(await form.locator('[name=answer]').inputValue(), '有。\n\n三个车位，免费。')
    await assertAccessible(page, 'pairs to be made one')
    await button(form, 'Take this').last().click()
    await button(form, 'Merge').click()
    await list.getByText('Nothing is asked twice').waitFor()
    await button(list, 'Close').last().click()
    await row(page, '有停车场吗').click()
    const it = dialog(page, '有停车场吗？')
    await it.getByText('not judged yet').waitFor()
    await it.getByRole('meter', { name: /Has a category: 0/ }).waitFor()
    await assertAccessible(page, 'one pair with its quality')
  })
  const { items } = await ui.api('GET', `${pairs}?keyword=停车`)
  assert.deepEqual(items.map((one) => [one.id, one.answer]), [[first.id, '三个车位，免费。']])
})
