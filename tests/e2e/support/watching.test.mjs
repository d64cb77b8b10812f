// That a page which does what it must not is really failed by `visit`.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, assertNoSidewaysScrolling, Console } from './console.mjs'

let ui
before(async () => {
  ui = await Console.start()
})
after(() => ui?.stop())

const visit = (look, more) => ui.visit('/api/v1/nowhere', look, { signedIn: false, tolerated: [/404 .*nowhere/, /favicon/], ...more })

test('an ordinary visit passes', () => visit(async () => {}))

test('a console error fails the visit, unless it is tolerated', async () => {
  const look = (page) => page.evaluate(() => console.error('out of ideas'))
  await assert.rejects(visit(look), /console error: out of ideas/)
  await visit(look, { tolerated: [/404 .*nowhere/, /favicon/, /out of ideas/] })
})

test('an uncaught exception fails the visit', async () => {
  const look = async (page) => {
    const thrown = page.waitForEvent('pageerror')
    await page.evaluate(() => void setTimeout(() => { throw new Error('unforeseen') }))
    await thrown
  }
  await assert.rejects(visit(look), /uncaught: Error: unforeseen/)
})

test('a request to elsewhere fails the visit, and does not leave the machine', async () => {
  const look = async (page) => {
    const failed = page.waitForEvent('requestfailed')
    await page.goto('http://elsewhere.invalid/').catch(() => {})
    assert.equal((await failed).failure().errorText, 'net::ERR_FAILED')
  }
  await assert.rejects(visit(look), /a request to elsewhere: http:\/\/elsewhere\.invalid/)
})

test('a picture without words and a page too wide are found', async () => {
  await visit(async (page) => {
    await page.setContent('<!doctype html><html lang="en"><title>t</title><main><h1>t</h1></main></html>')
    await assertAccessible(page)
    await assertNoSidewaysScrolling(page)
    await page.setContent('<!doctype html><html lang="en"><title>t</title><img id="bare"><table class="wide" width="3000"><tr><td>wide</table>')
    await assert.rejects(assertAccessible(page), /image-alt[\s\S]*#bare/)
    await assert.rejects(assertNoSidewaysScrolling(page), /sideways by \d+ px: .*table\.wide/)
  })
})
