// Every page the navigation leads to, while it waits for the server and when the server refuses: what is to come is grey,
// what went wrong is said, “Try again” tries again, and both are accessible and scroll sideways in no look. Skeletons and
// refusals are the kit's, so two opposite looks are enough here (`support/looks.mjs`).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, everyLook, looks, opposite, turn } from '../support/console.mjs'
import { examinedOf, noun, onEveryPage } from '../support/pages.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

/** What pages are made of; who is signed in and what this Steward is are known already. */
const data = (url) => url.pathname.startsWith('/api/') && !/\/(auth|instance)\//.test(url.pathname)
const inTwoLooks = { among: opposite, examined: opposite, pictured: false }

test('every page, while it waits for the server', () =>
  onEveryPage(ui, { prepare: (page) => page.route(data, () => {}) }, async (page, path) => {
    // Grey comes after 200 ms. What supervision shows is pushed as well, and not held up here.
    const grey = page.locator('main [data-waiting].animate-pulse, main [data-waiting] .animate-pulse')
    const waits = path.endsWith('/supervision') ? grey.or(page.getByRole('treegrid')) : grey
    await everyLook(page, `${noun(path)}-waiting`, { ...inTwoLooks, part: examinedOf(path), ready: () => waits.first().waitFor() })
  }))

test('every page, when the server refuses, says why, and “Try again” tries again', async () => {
  const id = '0198a0b1-0000-7000-8000-0123456789ab'
  const body = JSON.stringify({ type: 'about:blank', title: 'Not now', status: 403, code: 'told_by_test', detail: 'Told by a test.', errors: [] })
  const fulfil = { status: 403, contentType: 'application/problem+json', headers: { 'x-request-id': id }, body }
  const refuse = (page) => page.route(data, (route) => route.fulfill(fulfil))
  await onEveryPage(ui, { prepare: refuse, tolerated: [/status of 403/] }, async (page, path) => {
    await page.locator('main [role=alert]').first().waitFor()
    const said = await page.locator('main').innerText()
    for (const word of ['Not now', 'told_by_test', id]) assert.ok(said.includes(word), `${path} does not say ${word}: ${said}`)
    await everyLook(page, `${noun(path)}-refused`, { ...inTwoLooks, part: examinedOf(path) })
    await turn(page, looks[0])
    await page.unroute(data)
    const again = page.locator('main [role=alert]').getByRole('button', { name: 'Try again' })
    for (let left = await again.count(); left > 0; left = await again.count()) {
      await again.first().click()
      await page.waitForFunction((before) => document.querySelectorAll('main [role=alert]').length < before, left)
    }
    await refuse(page)
  })
})
