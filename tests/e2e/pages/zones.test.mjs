// A browser in another time zone than the server: days are the server's, wherever the console tells or sends one.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, settled } from '../support/console.mjs'

const server = 'Asia/Shanghai'
const browser = 'America/Los_Angeles'

let ui
before(async () => {
  ui = await Console.start({ env: { STEWARD__STATS__TIME_ZONE: server } })
  await ui.api('POST', '/api/v1/accounts', {
    name: 'upstream',
    provider: 'fake',
    protocol: 'openai',
    base_url: `${ui.provider.url}/v1`,
    api_key: 'sk-upstream',
    models: ['*'],
  })
  const { token } = await ui.api('POST', '/api/v1/tokens', { name: 'crm' })
  const answer = await fetch(`${ui.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'house-model', messages: [{ role: 'user', content: 'Hello' }] }),
  })
  assert.equal(answer.status, 200, await answer.text())
})
after(() => ui?.stop())

/** The server's day, as the console writes it, and the browser's time at its midnight. */
const today = () => new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeZone: server }).format(Date.now())
function midnight() {
  const date = new Intl.DateTimeFormat('en-CA', { timeZone: server }).format(Date.now())
  return new Date(`${date}T00:00:00+08:00`)
}

test('the day a model was last called is the day it was counted on', () =>
  ui.visit(
    '/ops/prices?tab=unpriced',
    async (page) => {
      const day = today()
      await page.getByRole('row').filter({ hasText: 'house-model' }).getByText(day).waitFor()
    },
    { zone: browser },
  ))

test('today is the same for the list and for what is deleted of it', () =>
  ui.visit(
    '/ops/conversations?range=today',
    async (page) => {
      await settled(page)
      const began = midnight()
      await page.getByRole('button', { name: 'Delete many', exact: true }).click()
      const from = await page.getByRole('dialog').locator('[name=from]').inputValue()
      const here = new Intl.DateTimeFormat('sv', { timeZone: browser, dateStyle: 'short', timeStyle: 'short' })
      assert.equal(from.slice(0, 16), here.format(began).replace(' ', 'T'))
    },
    { zone: browser },
  ))
