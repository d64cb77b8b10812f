// Feedback: asked for by the widget that the page gives, read with what was said beside it, decided with a note that can
// be taken back, and counted.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console, everyLook, settled } from '../support/console.mjs'

let ui
let secret
let calls
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
  const key = { name: 'shop', app: 'shop', enable_conversation_logging: true, redaction: 'none' }
  secret = (await ui.api('POST', '/api/v1/tokens', key)).token
  calls = []
  for (const content of ['What is 2 times 3?', '租借价格是多少？', 'Hello']) calls.push(await call(secret, content))
})
after(() => ui?.stop())

const button = (scope, name) => scope.getByRole('button', { name, exact: true })
const drawer = (page, name) => page.getByRole('dialog', { name })

async function call(bearer, content) {
  const answer = await fetch(`${ui.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', user: 'anna', messages: [{ role: 'user', content }] }),
  })
  assert.equal(answer.status, 200, await answer.text())
  return answer.headers.get('x-request-id')
}
async function give(body, bearer = secret) {
  const answer = await fetch(`${ui.url}/api/v1/feedback`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const told = await answer.json()
  assert.ok(answer.ok, JSON.stringify(told))
  return told
}

test('without feedback the page says how it is collected, and the widget it gives works as it is pasted', async () => {
  const { id: token_id } = await ui.api('POST', '/api/v1/tokens', { name: 'web users' })
  const issuer = { name: 'own', kind: 'own', issuer: 'steward', audience: 'gateway', token_id }
  const { id } = await ui.api('POST', '/api/v1/jwt-issuers', issuer)
  const { token: jwt } = await ui.api('POST', `/api/v1/jwt-issuers/${id}/tokens`, { sub: 'anna' })
  const requestId = await call(jwt, 'By a user')
  await ui.visit('/ops/feedback', async (page) => {
    await page.getByText('No feedback yet').waitFor()
    await button(page, 'Collect feedback').first().click()
    const how = drawer(page, 'Collect feedback')
    await how.getByRole('region', { name: 'In a web page' }).waitFor()
    await assertAccessible(page, 'how feedback is collected')
    const script = await how.getByRole('region', { name: 'In a web page' }).innerText()
    await button(how, 'Close').last().click()
    // As a page of the shop would have it; the policy of this page lets no script in but its own, so it is evaluated.
    await page.evaluate(
      ([pasted, request, token]) => {
        const body = pasted.trim().replace(/^<script>/, '').replace(/<\/script>$/, '')
        const place = document.createElement('div')
        place.id = 'widget'
        place.style.cssText = 'position:fixed;inset:0;z-index:99;background:white;color:black'
        document.body.append(place)
        window.pasted = [body, request, token]
      },
      [script, requestId, jwt],
    )
    const source = await page.evaluate(() => window.pasted[0])
    await page.evaluate(`${source}; stewardFeedback(document.querySelector('#widget'), window.pasted[1], () => window.pasted[2])`)
    const widget = page.locator('#widget')
    await widget.getByText('Was this helpful?').waitFor()
    await button(widget, 'No').click()
    await widget.getByText('Thank you!').waitFor()
    await widget.locator('textarea').fill('It should have been shorter.')
    await button(widget, 'Send').click()
    await widget.locator('form').waitFor({ state: 'hidden' })
    const { items } = await ui.api('GET', '/api/v1/feedback')
    assert.deepEqual(
      [items.length, items[0].user_name, items[0].rating, items[0].correction],
      [1, 'anna', 1, 'It should have been shorter.'],
    )
  })
})

test('feedback is found, read with what was said beside it, and decided; a decision can be taken back', async () => {
  await give({ request_id: calls[0], rating: 'down', category: 'wrong', comment: 'It said five.', correction: 'It is six.' })
  await give({ request_id: calls[1], rating: 5, category: '价格' })
  await ui.visit('/ops/feedback', async (page) => {
    const grid = page.getByRole('grid', { name: 'Feedback' })
    await grid.getByText('It said five.').click()
    const it = drawer(page, 'Rated 1 of 5')
    await it.getByText('It is six.').waitFor()
    await button(it, 'Show the conversation').click()
    await it.getByText('What is 2 times 3?').waitFor()
    await assertAccessible(page, 'one piece of feedback')

    await button(it, 'Resolve').click()
    const form = drawer(page, 'Resolve')
    await button(form, 'Resolve').click()
    await form.getByText('Say what was done.').waitFor()
    await form.locator('[name=note]').fill('The prompt was corrected.')
    await assertAccessible(page, 'resolving')
    await button(form, 'Resolve').click()
    await it.getByText('The prompt was corrected.').waitFor()
    await button(it, 'Open again').waitFor()
    await button(page, 'Undo').click()
    await it.getByText('The prompt was corrected.').waitFor({ state: 'detached' })
    await button(it, 'Approve').click()
    await button(drawer(page, 'Approve for learning'), 'Approve').click()
    await button(it, 'Open again').waitFor()
    const { items } = await ui.api('GET', '/api/v1/feedback?status=approved')
    assert.deepEqual(items.map((one) => one.comment), ['It said five.'])

    // The address says it all: Back and a colleague see the same.
    await button(it, 'Category').click()
    await page.waitForURL(/category=wrong/)
  })
  await ui.visit('/ops/feedback?status=approved', async (page) => {
    await page.getByRole('grid', { name: 'Feedback' }).getByText('It said five.').waitFor()
    await settled(page)
    assert.equal(await page.locator('[role=row][data-index]').count(), 1)
  })
})

test('statistics count it, lead back to the list, and fit every look', async () => {
  await ui.visit('/ops/feedback?tab=stats&range=7d', async (page) => {
    await page.getByText('Feedback by day').first().waitFor()
    await settled(page)
    await everyLook(page, 'feedback-stats')
  })
  await ui.visit('/ops/feedback?tab=stats&range=7d', async (page) => {
    await page.getByRole('link', { name: 'wrong' }).click()
    await page.waitForURL(/category=wrong/)
    await page.getByRole('grid', { name: 'Feedback' }).getByText('It said five.').waitFor()
  })
  await ui.visit('/ops/feedback?tab=stats&category=none', async (page) => {
    await page.getByText('Nothing matches the filters').waitFor()
  })
})

test('the overview says what waits, and the prompt what was thought of its versions', async () => {
  const prompt = await ui.api('POST', '/api/v1/prompts', { name: 'greet', content: 'Hello' })
  await give({ request_id: calls[2], rating: 4, prompt: 'greet@1' })
  await ui.visit('/ops/', async (page) => {
    await page.getByRole('link', { name: 'Feedback', exact: true }).last().waitFor()
    await page.getByText(/\d open/).waitFor()
  })
  await ui.visit(`/ops/prompts/${prompt.id}`, async (page) => {
    await page.getByText('Feedback: 4 of 5 on average, 1 in all, 0 bad').waitFor()
    await page.getByRole('link', { name: 'What people think of its answers' }).click()
    await page.waitForURL(/prompt=greet/)
    await page.getByRole('grid', { name: 'Feedback' }).getByText('greet v1').waitFor()
  })
})
