// Prompts: every save is a version, any two can be compared, going back is a version too and can itself be gone back on,
// a label moves, variables are filled in, and nobody saves over what somebody else saved unseen.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

const button = (scope, name) => scope.getByRole('button', { name, exact: true })
const dialog = (page, name) => page.getByRole('dialog', { name })
const history = (page) => page.getByRole('region', { name: 'History' })

/** A prompt with three versions, the first labelled `production`. */
async function made(name) {
  const prompt = await ui.api('POST', '/api/v1/prompts', {
    name,
    description: 'First answer to a customer',
    messages: [
      { role: 'system', content: 'You answer customers of {{shop}}.\nBe brief.\nNever promise a refund.' },
      { role: 'user', content: '{{question}}' },
    ],
    message: 'As it was',
  })
  const path = `/api/v1/prompts/${prompt.id}`
  const [system, user] = prompt.newest.messages
  const save = (content, message) => ui.api('PUT', path, { messages: [{ ...system, content }, user], message })
  const second = system.content.replace('brief', 'brief and exact')
  await save(second, 'More exact')
  await save(second.replace('Never promise', 'Do not promise'), 'Milder')
  await ui.api('PUT', `${path}/labels/production`, { version: 1 })
  return { id: prompt.id, path }
}

test('without a prompt the page says what to do; one is made, and a next version shows what it changes', async () => {
  await ui.visit('/ops/prompts', async (page) => {
    await button(page, 'Create prompt').last().click()
    const form = dialog(page, 'Create a prompt')
    await form.locator('[name=name]:focus').fill('support/first-answer')
    await form.locator('[name=message-0]').fill('You help at {{shop}}.')
    await form.getByText('shop', { exact: true }).waitFor()
    await form.locator('[name=parameters]').fill('{"temperature": ')
    await form.getByText('Must be a JSON object').waitFor()
    await assertAccessible(page, 'a new prompt')
    await form.locator('[name=parameters]').fill('{"temperature": 0.2}')
    await button(form, 'Create').click()

    await page.getByRole('heading', { name: 'support/first-answer' }).waitFor()
    await button(page, 'New version').click()
    const next = dialog(page, 'New version of support/first-answer')
    assert.ok(await button(next, 'Save version').isDisabled(), 'nothing changed, nothing to save')
    await next.locator('[name=message-0]').fill('You help at {{shop}}, kindly.')
    await next.locator('[name=message]').fill('Kinder')
    await next.getByText('Changes against v1').click()
    await next.getByText('You help at {{shop}}, kindly.').waitFor()
    await assertAccessible(page, 'what a new version changes')
    await button(next, 'Save version').click()
    await history(page).getByText('Kinder').waitFor()
    const { items } = await ui.api('GET', '/api/v1/prompts')
    assert.equal(items[0].head, 2)
    assert.deepEqual(items[0].newest.parameters, { temperature: 0.2 })
  })
})

test('any two versions are compared, in words; going back is a version and can be undone', async () => {
  const { id, path } = await made('compared')
  await ui.visit(`/ops/prompts/${id}?tab=changes`, async (page) => {
    const shown = page.getByRole('region', { name: 'From v2 to v3' })
    await shown.waitFor()
    await button(history(page), 'Compare v1 with v3').click()
    const lines = page.getByRole('region', { name: 'From v1 to v3' })
    await lines.waitFor()
    assert.match(await lines.innerText(), /Never promise a refund/)
    assert.ok((await lines.locator('.line-through').allInnerTexts()).includes('Never'))
    await page.goBack()
    await shown.waitFor()

    await history(page).getByText('As it was').click()
    await button(page, 'Bring back v1').click()
    const asked = dialog(page, 'Bring back version 1?')
    await asked.getByText('2 lines added').waitFor()
    await assertAccessible(page, 'before going back')
    await button(asked, 'Bring back v1').click()
    await history(page).getByText('Back to version 1').waitFor()
    assert.equal((await ui.api('GET', path)).newest.restores, 1)
    await button(page, 'Undo').click()
    await history(page).getByText('Back to version 3').waitFor()
    const now = await ui.api('GET', path)
    assert.deepEqual([now.head, now.newest.restores], [5, 3])
  })
})

test('a label moves to another version, and back', async () => {
  const { id, path } = await made('labelled')
  await ui.visit(`/ops/prompts/${id}`, async (page) => {
    await button(page, 'Label').click()
    const form = dialog(page, 'Point a label at v3')
    await form.locator('[name=label]').fill('Latest one')
    await form.getByText('Small letters').waitFor()
    await assertAccessible(page, 'pointing a label')
    await button(form, 'production (now v1)').click()
    await form.getByText('production moves from v1 to v3.').waitFor()
    await button(form, 'Point the label').click()
    await button(page, 'production · v3').waitFor()
    assert.deepEqual((await ui.api('GET', path)).labels, { production: 3 })
    await button(page, 'Undo').click()
    await button(page, 'production · v1').click()
    await page.waitForURL(/v=1/)
    await button(page, 'Remove production').click()
    await button(page, 'production · v1').waitFor({ state: 'detached' })
    assert.deepEqual((await ui.api('GET', path)).labels, {})
  })
})

test('variables are filled in, and what lacks a value is named', async () => {
  const { id } = await made('filled')
  await ui.visit(`/ops/prompts/${id}?tab=fill`, async (page) => {
    await page.locator('[name=shop]').fill('the <b>Corner</b> Shop')
    await button(page, 'Fill in').click()
    await page.getByText('No value for: question').waitFor()
    await page.getByText('You answer customers of the <b>Corner</b> Shop.').waitFor()
    await assertAccessible(page, 'filled in')
    await page.locator('[name=question]').fill('Where is it?')
    await button(page, 'Fill in').click()
    await page.getByText('Every variable has a value').waitFor()
  })
})

test('two people at once: who saves second sees what the first saved', async () => {
  const { id, path } = await made('shared')
  await ui.visit(
    `/ops/prompts/${id}`,
    async (page) => {
      await button(page, 'New version').click()
      const form = dialog(page, 'New version of shared')
      await form.locator('[name=message-1]').fill('{{question}} Please.')
      await ui.api('PUT', path, { content: 'Somebody else was here.', message: 'Theirs' })
      await button(form, 'Save version').click()
      const conflict = dialog(page, 'Somebody else changed this meanwhile')
      await conflict.getByText('Somebody else was here.').waitFor()
      await assertAccessible(page, 'a conflict of versions')
      await button(conflict, 'Keep my changes').click()
      await page.getByText('shared is saved').waitFor()
      const now = await ui.api('GET', path)
      assert.equal(now.head, 5, 'theirs is a version, mine is the next')
      assert.equal(now.newest.messages[1].content, '{{question}} Please.')
    },
    { tolerated: [/412 .*\/api\/v1\/prompts/] },
  )
})

test('a prompt goes only by its name', async () => {
  const { id, path } = await made('doomed')
  await ui.visit(`/ops/prompts/${id}`, async (page) => {
    await button(page, 'More').click()
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    const confirm = dialog(page, 'Delete doomed?')
    assert.ok(await button(confirm, 'Delete').isDisabled())
    await confirm.locator('[name=typed-name]').fill('doomed')
    await button(confirm, 'Delete').click()
    await page.getByText('doomed is deleted').waitFor()
    await page.waitForURL('**/ops/prompts')
  })
  await assert.rejects(ui.api('GET', path), /404/)
})

test('a prompt, what changed and the values, in every size, theme and language', async () => {
  const { id } = await made('pictured')
  const headed = (page) => page.getByRole('heading', { name: 'pictured' }).waitFor()
  await ui.shoot('prompt', `/ops/prompts/${id}`, headed)
  await ui.shoot('prompt-changes', `/ops/prompts/${id}?tab=changes&vs=1`, headed)
  await ui.shoot('prompt-fill', `/ops/prompts/${id}?tab=fill`, headed)
})
