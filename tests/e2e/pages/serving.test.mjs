// What the server does for the console: it loads under the content policy, a deep link survives a reload, and a file
// that is missing is not a page.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console } from '../support/console.mjs'

let ui
before(async () => {
  ui = await Console.start()
})
after(() => ui?.stop())

// Whoever is not signed in may be told so by the server when the console asks for a renewed session.
const signedOut = { signedIn: false, tolerated: [/401 .*\/api\/v1\/auth\/refresh/] }

test('the console loads, from / as well, and under its content policy', async () => {
  await ui.visit(
    '/',
    async (page) => {
      assert.equal(new URL(page.url()).origin, ui.url)
      assert.match(new URL(page.url()).pathname, /^\/ops\//)
      await page.locator('#app > *').first().waitFor()
      assert.match(await page.title(), /Steward/)
    },
    signedOut,
  )
})

test('a deep link is a page, also after a reload', async () => {
  await ui.visit('/ops/overview?range=7d', async (page) => {
    await page.locator('#app > *').first().waitFor()
    const answer = await page.reload()
    assert.equal(answer.status(), 200)
    await page.locator('#app > *').first().waitFor()
  })
})

test('scripts arrive compressed and are kept for ever', async () => {
  await ui.visit(
    '/ops/',
    async (page) => {
      const scripts = await page.locator('script[type=module]').evaluateAll((all) => all.map((one) => one.getAttribute('src')))
      let large = 0
      for (const script of scripts) {
        assert.match(script, /^\/ops\/assets\//)
        const answer = await fetch(ui.url + script, { headers: { 'accept-encoding': 'br' } })
        assert.equal(answer.headers.get('cache-control'), 'public, max-age=31536000, immutable')
        // The few bytes that ask for the session first are sent as they are.
        if ((await answer.arrayBuffer()).byteLength < 1024) continue
        assert.equal(answer.headers.get('content-encoding'), 'br')
        large += 1
      }
      assert.ok(large > 0)
      const gone = await fetch(`${ui.url}/ops/assets/gone-00000000.js`)
      assert.equal(gone.status, 404)
      assert.equal(gone.headers.get('content-type'), 'application/problem+json')
    },
    signedOut,
  )
})

test("the API's reference draws every tag of the document, offline", async () => {
  // Swagger UI reads the whole document before it draws a tag, and once more for an operation.
  const read = { timeout: 60_000 }
  const { paths } = await ui.api('GET', '/openapi.json')
  const tags = new Set(Object.values(paths).flatMap((item) => Object.values(item).flatMap((operation) => operation.tags ?? [])))
  assert.ok(tags.size > 5)
  await ui.visit('/api/docs/', async (page) => {
    await page.locator('.opblock-tag').first().waitFor(read)
    assert.equal(await page.locator('.opblock-tag').count(), tags.size)
    const tokens = page.locator('.opblock-tag[data-tag="tokens"]')
    await tokens.click()
    await page.locator('.opblock').first().click(read)
    await page.locator('.opblock-body').first().waitFor(read)
  })
})
