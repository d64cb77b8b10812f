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

test('what calls with a version came to stands beside it, and leads to them', async () => {
  const { id, path } = await made('used')
  await ui.api('POST', '/api/v1/accounts', {
    name: 'provider',
    provider: 'openai',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['*'],
  })
  const { token } = await ui.api('POST', '/api/v1/tokens', { name: 'shop' })
  const served = await fetch(`${ui.url}/v1/prompts/used?label=production`, { headers: { 'x-api-key': token } })
  assert.equal(served.headers.get('x-prompt'), 'used@1')
  for (const prompt of [served.headers.get('x-prompt'), 'used@production', 'used@3', 'nobody@1']) {
    const answer = await fetch(`${ui.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'x-prompt': prompt },
      body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: prompt }] }),
    })
    assert.equal(answer.status, 200, await answer.text())
  }
  await ui.visit(`/ops/prompts/${id}?v=1`, async (page) => {
    await history(page).getByText('2 calls, 100%').waitFor()
    const use = page.getByRole('region', { name: 'Use in the last 30 days' })
    await use.getByText('First token, mean').waitFor()
    await assertAccessible(page, 'what a version came to')
    await use.getByRole('link', { name: 'See the calls' }).click()
    await page.waitForURL(/requests\?prompt=used(@|%40)1/)
    await page.getByText('2 requests').or(page.getByRole('row')).first().waitFor()
  })
  const { items } = await ui.api('GET', '/api/v1/logs/requests?prompt=used')
  assert.deepEqual(
    items.map((item) => item.prompt),
    ['used@3', 'used@1', 'used@1'],
  )
  const { versions } = await ui.api('GET', `/api/v1/stats/prompts/${path.split('/').at(-1)}`)
  assert.deepEqual(
    versions.map((one) => [one.version, one.request_count]),
    [
      [3, 1],
      [1, 2],
    ],
  )
  await ui.visit(`/ops/prompts/${id}?v=2`, async (page) => {
    await page.getByText('No call named this version').waitFor()
  })
})

test('a version is run beside another, and what came of it stays', async () => {
  const { id, path } = await made('played')
  await ui.api('POST', '/api/v1/tokens', { name: 'operators' })
  await ui.visit(`/ops/prompts/${id}?tab=run`, async (page) => {
    await page.getByText('Nothing was run yet.').waitFor()
    await page.getByRole('combobox', { name: 'API key that makes the call' }).fill('operators')
    await page.getByRole('option', { name: 'operators' }).click()
    await page.locator('[name=run-shop]').fill('the Corner Shop')
    await page.locator('[name=run-question]').fill('Where is it?')
    await button(page, 'Two side by side').click()
    for (const side of ['A', 'B']) await page.locator(`[name=model-${side}]`).fill('gpt-4o')
    await page.locator('[name=version-B]').selectOption('1')
    await button(page, 'Run both').click()
    for (const side of ['A', 'B']) {
      await page.getByRole('region', { name: `Side ${side}` }).getByText('Done').waitFor()
    }
    await page.getByRole('region', { name: 'Runs' }).getByText('v1').first().waitFor()
    await assertAccessible(page, 'two runs')
  })
  const { items } = await ui.api('GET', `${path}/runs`)
  assert.deepEqual(items.map((run) => run.version).sort(), [1, 3])
  assert.ok(items.every((run) => run.text.length > 0 && run.error === null))
})

test('prompts go to a file and come back with their versions', async () => {
  const { id, path } = await made('travelled')
  let file
  await ui.visit(`/ops/prompts/${id}`, async (page) => {
    await button(page, 'More').click()
    const download = page.waitForEvent('download')
    await page.getByRole('menuitem', { name: 'Export as a file' }).click()
    const chunks = []
    for await (const chunk of await (await download).createReadStream()) chunks.push(chunk)
    file = Buffer.concat(chunks)
  })
  assert.equal(JSON.parse(file).prompts[0].versions.length, 3)
  const before = await ui.api('GET', `${path}/versions`)
  await ui.api('DELETE', path)
  await ui.visit('/ops/prompts', async (page) => {
    await button(page, 'More').click()
    await page.getByRole('menuitem', { name: 'Import a file' }).click()
    const form = dialog(page, 'Import prompts')
    const choose = (buffer) =>
      form.locator('[name=file]').setInputFiles({ name: 'prompts.json', mimeType: 'application/json', buffer })
    await choose(Buffer.from('not json'))
    await form.getByText('This file is no JSON').waitFor()
    await choose(file)
    await form.getByText('New, 3 versions').waitFor()
    await assertAccessible(page, 'what an import would do')
    await button(form, 'Import').click()
    await page.getByText('One prompt is imported').waitFor()
    await page.getByText('travelled').first().waitFor()
  })
  const [back] = (await ui.api('GET', '/api/v1/prompts?q=travelled')).items
  const after = await ui.api('GET', `/api/v1/prompts/${back.id}/versions`)
  const hashes = (listed) => listed.items.map((version) => version.hash)
  assert.deepEqual(hashes(after), hashes(before))
  assert.deepEqual(back.labels, { production: 1 })
  assert.equal((await ui.api('GET', `/api/v1/prompts/${back.id}`)).chain_holds, true)

  const forged = JSON.parse(file)
  forged.prompts[0].versions[1].author = 'somebody else'
  await ui.visit(
    '/ops/prompts',
    async (page) => {
      await button(page, 'More').click()
      await page.getByRole('menuitem', { name: 'Import a file' }).click()
      const form = dialog(page, 'Import prompts')
      const buffer = Buffer.from(JSON.stringify(forged))
      await form.locator('[name=file]').setInputFiles({ name: 'forged.json', mimeType: 'application/json', buffer })
      await form.getByText('does not hold').waitFor()
      assert.ok(await button(form, 'Import').isDisabled())
      await assertAccessible(page, 'a forged file')
    },
    { tolerated: [/422 .*\/api\/v1\/prompts\/import/] },
  )
})

test('a prompt, what changed and the values, in every size, theme and language', async () => {
  const { id } = await made('pictured')
  const headed = (page) => page.getByRole('heading', { name: 'pictured' }).waitFor()
  await ui.shoot('prompt', `/ops/prompts/${id}`, headed)
  await ui.shoot('prompt-changes', `/ops/prompts/${id}?tab=changes&vs=1`, headed)
  await ui.shoot('prompt-fill', `/ops/prompts/${id}?tab=fill`, headed)
})
