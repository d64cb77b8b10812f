// Learning: what approved feedback teaches becomes a pair by itself; where a pair asks the same a person decides, and what
// is incomplete is told.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

const ASKED = '租借价格是多少？'
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
  const { id: tenant_id } = await ui.api('POST', '/api/v1/ops/tenants', { name: 'Kimono One' })
  const key = { name: 'shop', tenant_id, enable_conversation_logging: true, redaction: 'none' }
  secret = (await ui.api('POST', '/api/v1/tokens', key)).token
})
after(() => ui?.stop())

const button = (scope, name) => scope.getByRole('button', { name, exact: true })
const dialog = (page, name) => page.getByRole('dialog', { name })

async function post(path, body) {
  const answer = await fetch(`${ui.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  assert.ok(answer.ok, text)
  return { id: answer.headers.get('x-request-id'), body: JSON.parse(text) }
}
/** A call, and approved feedback on it. */
async function approved(content, feedback) {
  const call = await post('/v1/chat/completions', { model: 'gpt-4o', messages: [{ role: 'user', content }] })
  const deadline = Date.now() + 20_000
  // The conversation is kept a moment after its answer.
  while (!(await ui.api('GET', '/api/v1/conversations')).items.some((one) => one.id === call.id)) {
    assert.ok(Date.now() < deadline, 'the conversation is kept')
    await new Promise((go) => setTimeout(go, 50))
  }
  const { body } = await post('/api/v1/feedback', { request_id: call.id, ...feedback })
  await ui.api('POST', `/api/v1/feedback/${body.id}/approve`, {})
}

test('a correction becomes a pair, another of the same question waits, and what lacks an answer is told', async () => {
  await approved(ASKED, { rating: 1, correction: '单日三千円起。' })
  await ui.visit('/ops/knowledge', async (page) => {
    await button(page, 'Learned').click()
    const learned = dialog(page, 'Learned from feedback')
    await learned.getByText('Nothing waits').waitFor()
    await button(learned, 'Learn now').click()
    await learned.getByRole('radio', { name: /^Taken/ }).check({ force: true })
    await learned.getByText('单日三千円起。').waitFor()
    await learned.getByText('by itself', { exact: true }).waitFor()
    await button(learned, 'Pair').click()
    await dialog(page, ASKED).getByText('单日三千円起。').waitFor()
  })

  await ui.shoot('knowledge-learned', '/ops/knowledge?learn=taken', (page) =>
    page.getByText('单日三千円起。').first().waitFor(),
  )

  await approved(ASKED, { rating: 2, correction: '单日四千円起。' })
  await approved('Hello', { rating: 1 })
  await ui.visit('/ops/knowledge?learn=waiting', async (page) => {
    const learned = dialog(page, 'Learned from feedback')
    await button(learned, 'Learn now').click()
    await button(learned, `Take “${ASKED}”`).click()
    const take = dialog(page, 'Make it a pair')
    await take.getByText('A pair asks the same').waitFor()
    await assertAccessible(page, 'a candidate is taken')
    await button(take, 'Take').click()
    await learned.getByText('Nothing waits').waitFor()
    await learned.getByRole('radio', { name: /^Incomplete/ }).check({ force: true })
    await learned.getByText('(no answer)').waitFor()
    await button(learned, 'Discard “Hello”').click()
    await learned.getByText('Nothing is incomplete').waitFor()
  })
  const { items } = await ui.api('GET', '/api/v1/ops/knowledge/qa-pairs')
  assert.deepEqual(
    items.map((one) => [one.question, one.answer, one.source]),
    [[ASKED, '单日四千円起。', 'feedback']],
  )
})
