// Conversations: kept for a key that asks, found while one types, read, exported, deleted; and the rules that redact.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { readFile } from 'node:fs/promises'
import { Console, assertAccessible, password } from '../support/console.mjs'

let ui
let secret
before(async () => {
  ui = await Console.start()
  await ui.api('POST', '/api/v1/accounts', {
    name: 'provider',
    provider: 'openai',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['*'],
  })
})
after(() => ui?.stop())

const button = (scope, name) => scope.getByRole('button', { name, exact: true })
const rows = (page) => page.locator('[role=row][data-index]')

async function say(content, more = {}) {
  const answer = await fetch(`${ui.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', user: 'anna', messages: [{ role: 'user', content }], ...more }),
  })
  assert.equal(answer.status, 200, await answer.text())
  const id = answer.headers.get('x-request-id')
  const bearer = (await ui.api('POST', '/api/v1/auth/login', { username: 'admin', password })).access_token
  for (let patience = 200; patience > 0; patience--) {
    const found = await fetch(`${ui.url}/api/v1/conversations/${id}`, { headers: { authorization: `Bearer ${bearer}` } })
    if (found.status === 200) return id
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`${id} was not kept`)
}

test('a key says what it keeps, in its form', async () => {
  await ui.visit('/ops/conversations', async (page) => {
    await page.getByText('No conversation is kept').waitFor()
    await assertAccessible(page, 'conversations, empty')
  })
  await ui.visit('/ops/tokens?new=1', async (page) => {
    const form = page.getByRole('dialog')
    await form.locator('[name=name]').fill('help desk')
    assert.equal(await form.locator('[name=redaction]').count(), 0, 'nothing is asked while nothing is kept')
    await form.locator('[name=enable_conversation_logging]').check()
    assert.equal(await form.locator('[name=redaction]').inputValue(), 'redact')
    await assertAccessible(page, 'key form that keeps')
    await button(form, 'Create').click()
    secret = (await page.locator('[data-secret] code').innerText()).trim()
  })
})

test('what was said is found while one types, and read', async () => {
  const code = 'Please look at this:\n\n```python\nprint("hello")\n```\n\nIt fails. **Why?** <script>alert(1)</script>'
  const first = await say(code, {
    tools: [
      { type: 'function', function: { name: 'get_weather', description: 'Of a city.', parameters: { type: 'object' } } },
    ],
  })
  await say('请解释对话记录的压缩策略，发到 boss@example.com')
  await say('What is the due date of the invoice?')
  await ui.visit('/ops/conversations', async (page) => {
    await rows(page).nth(2).waitFor()
    await page.getByText(/3 kept/).waitFor()
    const search = page.getByRole('searchbox')
    await search.pressSequentially('策')
    await page.locator('mark').filter({ hasText: '策' }).waitFor()
    assert.equal(await rows(page).count(), 1)
    assert.match(page.url(), /q=%E7%AD%96/)
    await assertAccessible(page, 'conversations, found')
    await search.fill('nowhere')
    await page.getByText('Nothing matches').or(page.getByRole('button', { name: 'Clear all' })).first().waitFor()
    await search.fill('print')
    await page.locator('mark').filter({ hasText: 'print' }).waitFor()
    await rows(page).first().click()
    await page.waitForURL(`**/ops/conversations/${first}?**`)
    const drawer = page.getByRole('dialog')
    await drawer.locator('strong').filter({ hasText: 'Why?' }).waitFor()
    await drawer.locator('pre').filter({ hasText: 'print("hello")' }).waitFor()
    await drawer.getByText('Calls the tool get_weather').waitFor()
    await drawer.getByText('1 tool was offered').click()
    await drawer.getByText('Of a city.').waitFor()
    await drawer.getByRole('region', { name: 'What get_weather takes' }).waitFor()
    assert.equal(await drawer.locator('script').count(), 0)
    assert.equal(await drawer.getByRole('link', { name: 'Show the call' }).getAttribute('href'), `/ops/requests/${first}`)
    await assertAccessible(page, 'conversation drawer')
  })
  await ui.visit('/ops/conversations?q=策略', async (page) => {
    await rows(page).first().click()
    await page.getByRole('dialog').getByText('1 redacted').waitFor()
    assert.ok(!(await page.content()).includes('boss@example.com'))
  })
})

test('a selection becomes a file', () =>
  ui.visit('/ops/conversations', async (page) => {
    await rows(page).nth(2).waitFor()
    await rows(page).first().getByRole('checkbox').check()
    await rows(page).nth(1).getByRole('checkbox').check()
    await button(page, 'Export 2 chosen').click()
    const download = page.waitForEvent('download')
    await page.getByRole('menuitem', { name: 'JSON lines' }).click()
    const lines = (await readFile(await (await download).path(), 'utf8')).trim().split('\n')
    assert.equal(lines.length, 2)
    for (const line of lines) assert.equal(JSON.parse(line).user_name, 'anna')
  }))

test('the list and a conversation, in every size, theme and language', async () => {
  const { items } = await ui.api('GET', '/api/v1/conversations')
  await ui.shoot('conversations', '/ops/conversations', (page) => rows(page).nth(2).waitFor())
  await ui.shoot('conversation', `/ops/conversations/${items.at(-1).id}`, (page) =>
    page.getByRole('dialog').locator('pre:visible').first().waitFor(),
  )
})

test('a rule is tried before it is in force', async () => {
  await ui.visit('/ops/redaction-rules', async (page) => {
    await button(page, 'Add rule').first().click()
    const form = page.getByRole('dialog')
    await form.locator('[name=name]').fill('case')
    await form.locator('[name=pattern]').fill('AB-[0-9]+')
    await form.locator('[name=replacement]').fill('[case]')
    await form.locator('[name=test-text]').fill('AB-1234 of a@b.example')
    await button(form, 'Try').click()
    await form.getByText('[case] of [email]').waitFor()
    await assertAccessible(page, 'rule form')
    await button(form, 'Save').click()
    await page.getByText('case is saved and in force').waitFor()
  })
  await say('About AB-77')
  await ui.visit('/ops/conversations?q=about', (page) => page.getByText('[case]').first().waitFor())
  await ui.shoot('redaction-rules-one', '/ops/redaction-rules', (page) => rows(page).first().waitFor())
  const [{ id }] = (await ui.api('GET', '/api/v1/redaction-rules')).items
  await ui.shoot('redaction-rule', `/ops/redaction-rules/${id}`, (page) => page.getByRole('dialog').getByText('AB-[0-9]+').waitFor())
  await ui.visit('/ops/redaction-rules', async (page) => {
    await rows(page).first().click()
    await page.waitForURL(`**/ops/redaction-rules/${id}`)
    await button(page.getByRole('dialog', { name: 'case' }), 'Edit').click()
    const form = page.getByRole('dialog', { name: 'Edit case' })
    await form.locator('[name=replacement]').fill('[number]')
    await button(form, 'Save').click()
    await page.getByRole('dialog', { name: 'case' }).getByText('[number]').waitFor()
    await page.keyboard.press('Escape')
    await page.waitForURL((url) => url.pathname === '/ops/redaction-rules')
  })
})

test('a deletion says which of the filters it does not know', () =>
  ui.visit('/ops/conversations?range=7d&q=invoice&model=gpt-4o&user=anna', async (page) => {
    await button(page, 'Delete many').click()
    const form = page.getByRole('dialog', { name: 'Delete conversations' })
    const said = await form.locator('[data-left-behind]').innerText()
    assert.ok(said.includes('Search “invoice”') && said.includes('Model “gpt-4o”') && !said.includes('anna'), said)
    assert.equal(await form.locator('[name=user]').inputValue(), 'anna')
    assert.notEqual(await form.locator('[name=from]').inputValue(), '')
    await assertAccessible(page, 'delete form that says what it does not know')
  }))

test('deleting one and many', () =>
  ui.visit('/ops/conversations', async (page) => {
    await rows(page).first().click()
    const drawer = page.getByRole('dialog')
    await button(drawer, 'Delete').click()
    await button(page.getByRole('dialog', { name: 'Delete this conversation?' }), 'Delete').click()
    await page.getByText('The conversation is deleted').waitFor()
    await button(page, 'Delete many').click()
    const form = page.getByRole('dialog', { name: 'Delete conversations' })
    await form.locator('[name=user]').fill('anna')
    assert.ok(await button(form, 'Delete').isDisabled())
    await form.locator('[name=typed-word]').fill('delete')
    await assertAccessible(page, 'delete form')
    await button(form, 'Delete').click()
    await form.getByText('runs as a job').waitFor()
    await form.getByText(/succeeded/).waitFor()
    await button(form, 'Close').last().click()
    await page.getByText('No conversation is kept').waitFor()
  }))
