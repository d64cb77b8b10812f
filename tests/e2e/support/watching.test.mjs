// That a page which does what it must not is really failed by `visit`.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, assertNoSidewaysScrolling, Console, distinct, everyLook, looks, opposite, parts, settled } from './console.mjs'
import { walk } from './walk.mjs'

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
  for (const elsewhere of ['http://elsewhere.invalid/', 'http://192.0.2.1/', 'http://localhost:9/']) {
    const look = async (page) => {
      const failed = page.waitForEvent('requestfailed')
      await page.goto(elsewhere).catch(() => {})
      assert.equal((await failed).failure().errorText, 'net::ERR_NAME_NOT_RESOLVED')
    }
    await assert.rejects(visit(look), (cause) => cause.message.includes(`a request to elsewhere: ${elsewhere}`))
  }
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

test('four looks have every two of size, theme and language, and two have every one', () => {
  const told = (some, ...by) => new Set(some.map((look) => by.map((key) => look[key]).join())).size
  const keys = ['size', 'theme', 'language']
  for (const key of keys) assert.equal(told(opposite, key), told(looks, key), key)
  for (const [one, other] of [[0, 1], [0, 2], [1, 2]]) assert.equal(told(distinct, keys[one], keys[other]), told(looks, keys[one], keys[other]))
  assert.deepEqual([looks, distinct, opposite].map(({ length }) => length), [8, 4, 2])
})

test('a part is examined and nothing else, but all of it', async () => {
  // As the console's frame is built; a page has a header of its own.
  const built = ({ menu = '', bar = '', page = '', over = '' }) => `<!doctype html><html lang="en"><title>t</title>
    <div><div id="menu">${menu}</div><div><header>${bar}</header><main id="content"><header><h1>t</h1>${page}</header></main></div></div>
    <div role="dialog" aria-label="d">${over}</div><div role="menu" aria-label="m"><button role="menuitem">i</button></div>`
  const bad = '<input>'
  await visit(async (page) => {
    await page.goto('about:blank')
    const found = async (content, part) => {
      await page.setContent(built(content))
      return assertAccessible(page, 'built', part).then(() => false, (cause) => /label \(critical\)/.test(cause.message))
    }
    const seen = async (content) => {
      const by = {}
      for (const [name, part] of Object.entries(parts)) by[name] = await found(content, part)
      return by
    }
    assert.deepEqual(await seen({}), { whole: false, withoutFrame: false, over: false })
    assert.deepEqual(await seen({ menu: bad }), { whole: true, withoutFrame: false, over: false })
    assert.deepEqual(await seen({ bar: bad }), { whole: true, withoutFrame: false, over: false })
    assert.deepEqual(await seen({ page: bad }), { whole: true, withoutFrame: true, over: false })
    assert.deepEqual(await seen({ over: bad }), { whole: true, withoutFrame: true, over: true })
  })
})

test('what the keyboard does not reach, or where it is not seen, is found', async () => {
  const walked = (content) =>
    visit(async (page) => {
      // Where nothing forbids what stands in an attribute.
      await page.goto('about:blank')
      await page.setContent(`<!doctype html><html lang="en"><title>t</title><main><h1 tabindex="-1">t</h1><button>one</button>${content}<a href="#">last</a></main>`)
      await walk(page, 'main', 'built')
    })
  await walked('<input>')
  await assert.rejects(walked('<button style="outline: none">bare</button>'), /not to be seen[\s\S]*no ring: <button[^>]*>bare/)
  await assert.rejects(walked('<button style="position: fixed; left: -900px">far</button>'), /not to be seen[\s\S]*out of view: <button[^>]*>far/)
  await assert.rejects(walked('<button onfocus="this.previousElementSibling.focus()">never</button>'), /never reached[\s\S]*<button[^>]*>never/)
})

const signedOut = { signedIn: false, tolerated: [/401 .*\/api\/v1\/auth\/refresh/] }

test('an open page is turned to every look, and each is looked at', async () => {
  /** The sign-in page with a rule of the test's own. */
  const seen = (rule) =>
    ui.visit(
      '/ops/',
      async (page) => {
        await page.locator('input[type=password]').waitFor()
        await page.evaluate((text) => {
          const sheet = new CSSStyleSheet()
          sheet.replaceSync(text)
          document.adoptedStyleSheets.push(sheet)
        }, rule)
        await everyLook(page, 'turned', { pictured: false })
      },
      signedOut,
    )
  await seen('')
  await assert.rejects(seen('form { min-width: 600px }'), /turned-phone-light-en scrolls sideways/)
  await assert.rejects(seen('[data-theme=dark] label { color: #333 }'), /turned-desktop-dark-zh: [\s\S]*color-contrast/)
  await assert.rejects(seen('@media (width < 600px) { [data-theme=light] label { color: #ddd } }'), /turned-phone-light-zh: /)
})

test('what a page still asks for, and what waits on it, is waited for', () =>
  ui.visit(
    '/ops/',
    async (page) => {
      let answer
      const held = new Promise((reached) => {
        void page.route('**/api/v1/slow', (route) => {
          answer = () => route.fulfill({ body: 'here' })
          reached()
        })
      })
      await page.locator('input[type=password]').waitFor()
      await page.evaluate(() => {
        const note = document.createElement('p')
        note.dataset.waiting = ''
        document.body.append(note)
        void fetch('/api/v1/slow').then(() => requestAnimationFrame(() => note.remove()))
      })
      await held
      const done = settled(page).then(() => 'settled')
      const frames = page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn('not yet')))))
      assert.equal(await Promise.race([done, frames]), 'not yet')
      answer()
      assert.equal(await done, 'settled')
      assert.equal(await page.locator('[data-waiting]').count(), 0)
    },
    signedOut,
  ))
