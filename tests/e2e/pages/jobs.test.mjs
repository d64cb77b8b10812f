// Jobs: one that is under way is followed as it goes on, one is stopped, and the list says what became of both. What takes
// long is embedding, by a provider that answers when the test says so.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { assertAccessible, Console, password } from '../support/console.mjs'

const pairs = '/api/v1/ops/knowledge/qa-pairs'
const button = (scope, name) => scope.getByRole('button', { name, exact: true })
const dialog = (page, name) => page.getByRole('dialog', { name })
const row = (page, text) => page.locator('[role=row][data-index]', { hasText: text })

let ui
let provider
/** Pairs that one call embeds: the fewest there can be. */
const batch = 10
let tenant_id
/** How many more calls are answered at once; what is asked beyond waits. */
let free = Number.POSITIVE_INFINITY
const waiting = []
const go = (many) => {
  free = many
  while (free > 0 && waiting.length > 0) {
    free -= 1
    waiting.shift()()
  }
}
before(async () => {
  provider = createServer((request, answer) => {
    // Asked how it is.
    if (request.method === 'GET') return answer.writeHead(200, { 'content-type': 'application/json' }).end('{"object":"list","data":[]}')
    let body = ''
    request.on('data', (piece) => (body += piece))
    request.on('end', () => {
      const { input, model } = JSON.parse(body)
      const data = [input].flat().map((text, index) => ({ object: 'embedding', index, embedding: [1, text.length, 3] }))
      const tell = () => {
        answer.writeHead(200, { 'content-type': 'application/json' })
        answer.end(JSON.stringify({ object: 'list', model, data, usage: { prompt_tokens: 3, total_tokens: 3 } }))
      }
      waiting.push(tell)
      go(free)
    })
  })
  await new Promise((done) => provider.listen(0, '127.0.0.1', done))
  ui = await Console.start({
    env: {
      STEWARD__RAG__EMBEDDING_MODEL: 'text-embedding-3-small',
      STEWARD__SCHEDULER__AUTO_SYNC_ENABLED: 'false',
      STEWARD__SCHEDULER__BATCH_SIZE: String(batch),
    },
  })
  const base_url = `http://127.0.0.1:${provider.address().port}/v1`
  await ui.api('POST', '/api/v1/accounts', { name: 'embeds', provider: 'openai', protocol: 'openai', base_url, api_key: 'sk-embeds', models: ['*'] })
  tenant_id = (await ui.api('POST', '/api/v1/ops/tenants', { name: 'Kimono One' })).id
})
after(async () => {
  go(Number.POSITIVE_INFINITY)
  await ui?.stop()
  provider?.close()
})
/** A job of so many calls to the provider, of which `done` are answered and the next one waits. */
async function syncing(calls, done) {
  const many = calls * batch
  const ids = []
  for (let n = 0; n < many; n++) ids.push((await ui.api('POST', pairs, { tenant_id, question: `Question ${n} of ${many}?`, answer: 'Yes.' })).id)
  go(done)
  const { job } = await ui.api('POST', `${pairs}/bulk`, { action: 'sync', ids })
  const deadline = Date.now() + 20_000
  while (waiting.length === 0) {
    assert.ok(Date.now() < deadline, 'the provider is asked')
    await new Promise((wake) => setTimeout(wake, 20))
  }
  return job.id
}

test('without a job the page says what makes one', () =>
  ui.visit('/ops/jobs', async (page) => {
    await page.getByText('No job yet').waitFor()
    await assertAccessible(page, 'jobs, none')
  }))

test('a job that runs is followed in its drawer until it has ended, without anything being pressed', async () => {
  const id = await syncing(4, 1)
  await ui.visit('/ops/jobs', async (page) => {
    await row(page, 'knowledge.sync').getByText('Running').waitFor()
    await row(page, 'knowledge.sync').click()
    await page.waitForURL(`**/ops/jobs/${id}`)
    const drawer = dialog(page, 'knowledge.sync')
    await drawer.getByRole('meter', { name: '25%' }).waitFor()
    await drawer.getByText(id).first().waitFor()
    // Who ordered it is told by name.
    await drawer.getByText('admin', { exact: true }).waitFor()
    await assertAccessible(page, 'a job that runs')
    go(1)
    await drawer.getByRole('meter', { name: '50%' }).waitFor()
    go(Number.POSITIVE_INFINITY)
    await drawer.getByText('Succeeded').waitFor()
    await drawer.getByRole('meter', { name: '100%' }).waitFor()
    await drawer.getByText(`"synced": ${4 * batch}`).waitFor()
    assert.equal(await button(drawer, 'Cancel').count(), 0, 'what has ended is not stopped')
    await row(page, 'knowledge.sync').getByText('Succeeded').waitFor()
    await assertAccessible(page, 'a job that succeeded')
  })
})

test('a job is stopped: asked once, at its next step, and the list is narrowed to it', async () => {
  const id = await syncing(3, 1)
  await ui.visit(`/ops/jobs/${id}`, async (page) => {
    const drawer = dialog(page, 'knowledge.sync')
    await drawer.getByText('Running').waitFor()
    await button(drawer, 'Cancel').click()
    const sure = dialog(page, 'Cancel this job?')
    await assertAccessible(page, 'stopping a job')
    await button(sure, 'Cancel').last().click()
    await page.getByText('The job will stop at its next step').waitFor()
    await drawer.getByText('Cancelled', { exact: true }).first().waitFor()
    assert.equal(await button(drawer, 'Cancel').count(), 0)
    await page.keyboard.press('Escape')
    await drawer.waitFor({ state: 'detached' })
    await page.goto('/ops/jobs?state=cancelled')
    await row(page, 'knowledge.sync').waitFor()
    assert.equal(await page.locator('[role=row][data-index]').count(), 1)
    await page.goto('/ops/jobs?state=failed')
    await page.getByText('Nothing matches').waitFor()
    await button(page.getByRole('main'), 'Clear all').first().click()
    await row(page, 'knowledge.sync').nth(1).waitFor()
  })
  go(Number.POSITIVE_INFINITY)
  assert.equal((await ui.api('GET', `/api/v1/jobs/${id}`)).state, 'cancelled')
})

test('j and k walk the jobs; who may not stop them is not offered to', async () => {
  await ui.visit('/ops/jobs', async (page) => {
    await page.locator('[role=row][data-index]').first().click()
    const place = page.getByRole('dialog').getByText(/^\d+ of \d+$/)
    await place.filter({ hasText: /^1 of/ }).waitFor()
    await page.keyboard.press('j')
    await place.filter({ hasText: /^2 of/ }).waitFor()
    await page.keyboard.press('k')
    await place.filter({ hasText: /^1 of/ }).waitFor()
  })
  await ui.api('POST', '/api/v1/ops/users', { username: 'looker', role: 'ops_viewer', password })
  const id = await syncing(2, 0)
  await ui.visit(
    `/ops/jobs/${id}`,
    async (page) => {
      await dialog(page, 'knowledge.sync').getByText('Running').waitFor()
      assert.equal(await button(page, 'Cancel').count(), 0)
    },
    { as: 'looker' },
  )
  go(Number.POSITIVE_INFINITY)
})
