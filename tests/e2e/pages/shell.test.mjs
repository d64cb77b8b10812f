// What the console does around every page: the palette and the bell, the phone's menu, how fresh the page is and what it
// says when Steward is out of reach, what it says in place of a page, and what Back brings back.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertNoSidewaysScrolling, Console, distinct, everyLook, isFocused, looks, password, settled, turn } from '../support/console.mjs'
import { changesOffered, fill, firstRow, noun, onEveryPage } from '../support/pages.mjs'

let ui
before(async () => {
  ui = await Console.start()
  await fill(ui)
})
after(() => ui?.stop())

const phoneLooks = looks.filter(({ size }) => size === 'phone')
const heading = (page) => page.locator('main h1').first().waitFor()
const dialog = (page) => page.getByRole('dialog')

test('the palette finds a call by its id and does what it is told', () =>
  ui.visit('/ops/overview', async (page) => {
    await heading(page)
    const palette = page.getByRole('combobox', { name: 'Command palette' })
    const { items } = await ui.api('GET', '/api/v1/logs/requests?limit=1')
    await page.keyboard.press('Control+k')
    await palette.fill(`x-request-id: ${items[0].id.toUpperCase()}`)
    await dialog(page).getByRole('option', { name: items[0].id }).waitFor()
    await page.keyboard.press('Enter')
    await page.waitForURL(`**/ops/requests/${items[0].id}`)
    await page.locator('[role=dialog] h2:focus').waitFor()
    await page.keyboard.press('Escape')
    await dialog(page).waitFor({ state: 'detached' })

    await page.keyboard.press('Control+k')
    await palette.fill('create key')
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/ops\/tokens\?new=1$/)
    await dialog(page).getByLabel('Name', { exact: false }).first().waitFor()
    // Over a form, half filled in, it does not come.
    await page.keyboard.press('Control+k')
    assert.equal(await palette.count(), 0)
    await page.keyboard.press('Escape')
    await dialog(page).waitFor({ state: 'detached' })

    await page.keyboard.press('Control+k')
    await palette.waitFor()
    await page.keyboard.press('Control+k')
    await palette.waitFor({ state: 'detached' })
  }))

test('a secret that is shown is not lost by a key nor by Back', () =>
  ui.visit('/ops/overview', async (page) => {
    await heading(page)
    await page.keyboard.press('g')
    await page.keyboard.press('k')
    await page.getByRole('button', { name: 'Create key' }).first().click()
    await dialog(page).getByLabel('Name', { exact: false }).first().fill('shown once')
    await page.getByRole('button', { name: 'Create', exact: true }).click()
    const secret = page.locator('[data-secret] code')
    const before = await secret.innerText()
    await dialog(page).getByRole('button', { name: 'Copy' }).first().focus()
    for (const key of ['g', 'a', '?', '/', 'Control+k']) await page.keyboard.press(key)
    // To the keys without the form, and to the page before: each time there and back again.
    for (const far of [1, 2]) {
      await page.evaluate(
        (by) =>
          new Promise((done) => {
            let seen = 0
            addEventListener('popstate', () => ++seen === 2 && done())
            history.go(-by)
          }),
        far,
      )
      await settled(page)
      assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, '/ops/tokens')
      assert.equal(await secret.innerText(), before)
      assert.equal(await dialog(page).count(), 1)
    }
    await page.getByLabel('I saved it').check()
    await page.getByRole('button', { name: 'Done' }).click()
    await dialog(page).waitFor({ state: 'detached' })
    await page.keyboard.press('g')
    await page.keyboard.press('a')
    await page.waitForURL('**/ops/accounts')
  }))

test('the bell rings for an account out of service and leads to it', () =>
  ui.visit('/ops/nowhere', async (page) => {
    await page.getByRole('button', { name: 'Notices', exact: true }).waitFor()
    await page.route(/\/api\/v1\/accounts\?/, async (route) => {
      const answer = await route.fetch()
      const body = await answer.json()
      body.items[0].breaker.state = 'open'
      await route.fulfill({ response: answer, json: body })
    })
    await page.reload()
    await page.getByRole('button', { name: 'Notices: 1' }).click()
    await everyLook(page, 'bell', { among: distinct, pictured: false })
    await turn(page, looks[0])
    await page.getByRole('link', { name: 'An account is out of service' }).click()
    await page.waitForURL('**/ops/accounts')
    // The page asks for accounts once more.
    await page.unrouteAll({ behavior: 'wait' })
  }))

test('how fresh the page is: pushed, else asked for, paused, out of reach and back', () =>
  ui.visit(
    '/ops/requests',
    async (page) => {
      const badge = page.getByRole('button', { name: /^How fresh the page is/ })
      const says = (words) => page.getByRole('button', { name: `How fresh the page is: ${words}` }).waitFor()
      const asks = () => page.waitForRequest(/\/api\/v1\/logs\/requests\?/)
      await says('Live')

      await page.routeWebSocket(/\/api\/v1\/ws/, (socket) => socket.close())
      await page.reload()
      await says('Every 30 s')
      await badge.click()
      const seconds = page.getByLabel('Ask again every')
      await seconds.fill('4')
      await page.getByText('5 to 300 seconds').waitFor()
      await says('Every 30 s')
      await seconds.fill('5')
      await says('Every 5 s')
      await asks()

      // Nobody would wait so long here.
      await seconds.fill('300')
      await says('Every 300 s')
      await page.getByRole('button', { name: 'Pause', exact: true }).click()
      await says('Paused')
      const again = asks()
      await page.getByRole('button', { name: 'Go on', exact: true }).click()
      await says('Every 300 s')
      // Nobody waits for the next time.
      await again
      await seconds.fill('5')
      await says('Every 5 s')
      await page.keyboard.press('Escape')

      const rows = await page.locator('[role=row][data-index]').count()
      await page.context().setOffline(true)
      const banner = page.getByRole('status').filter({ hasText: 'Steward cannot be reached since' })
      await banner.waitFor()
      await page.getByRole('button', { name: /^How fresh the page is: Stale since/ }).waitFor()
      assert.equal(await page.locator('[role=row][data-index]').count(), rows, 'what was there stays')
      await everyLook(page, 'out-of-reach', { ready: async () => {} })
      await turn(page, looks[0])
      await page.context().setOffline(false)
      await banner.waitFor({ state: 'detached' })
      await says('Every 5 s')
    },
    { tolerated: [/ERR_INTERNET_DISCONNECTED/, /WebSocket/] },
  ))

/** In the page: in which of its parts, or on what else. */
const whereTheFocusIs = () => {
  const { activeElement: one, body } = document
  if (one === body) return 'out'
  if (one.closest('#menu')) return 'menu'
  return one.closest('[data-sonner-toaster]') ? 'messages' : one.outerHTML.slice(0, 200)
}

test('the menu on a phone: the keyboard goes in and comes back, and the page behind it rests', () =>
  ui.visit(
    '/ops/overview',
    async (page) => {
      // An alert fires while the menu is open: its message is no part of the page behind it.
      let fire
      await page.routeWebSocket(/\/api\/v1\/ws/, (socket) => {
        socket.connectToServer()
        fire = () => socket.send(JSON.stringify({ topic: 'alerts', data: { steps: [{ event: 'fired', rule: 'Too slow', told: true, rings: true }] } }))
      })
      await page.reload()
      await heading(page)
      await settled(page)
      const opener = page.getByRole('button', { name: 'Open the menu' })
      assert.equal(await opener.getAttribute('aria-expanded'), 'false')
      await opener.click()
      const close = page.getByRole('button', { name: 'Close the menu' })
      await close.waitFor()
      assert.ok(await isFocused(close))
      assert.ok(await page.locator('main').evaluate((node) => node.closest('[inert]') !== null))
      await everyLook(page, 'menu-on-a-phone', { among: phoneLooks })
      fire()
      await page.locator('[data-sonner-toast]').filter({ hasText: 'Too slow' }).waitFor()
      // Around and around: nothing behind it has the focus.
      const reached = new Set()
      for (let step = 0; step < 40; step++) {
        await page.keyboard.press('Tab')
        reached.add(await page.evaluate(whereTheFocusIs))
      }
      assert.deepEqual([...reached].sort(), ['menu', 'messages', 'out'])
      await page.locator('nav a').first().focus()
      await page.keyboard.press('Escape')
      await close.waitFor({ state: 'hidden' })
      assert.ok(await isFocused(page.locator('header button').first()), 'the focus is back where it came from')
      assert.equal(await page.locator('header button').first().getAttribute('aria-expanded'), 'false')
    },
    { size: 'phone' },
  ))

test('on a phone the palette, the order and the row height are within reach', () =>
  ui.visit(
    '/ops/requests',
    async (page) => {
      await page.locator('[role=row][data-index]').first().waitFor()
      // The bar has room for all of it, also where there is most to say.
      await page.route('**/api/v1/instance/public', (route) => route.fulfill({ json: { demo: true } }))
      await page.goto(`/ops/requests?from=${new Date(Date.now() - 3_600_000).toISOString()}&to=${new Date(Date.now() + 3_600_000).toISOString()}`)
      await page.getByText('Demo', { exact: true }).filter({ visible: true }).waitFor()
      await page.locator('[role=row][data-index]').first().waitFor()
      await assertNoSidewaysScrolling(page)
      // How fresh the page is stands there as a word, and the range is not squeezed out by it.
      await page.locator('header').getByText('Live', { exact: true }).waitFor()
      const range = await page.getByRole('button', { name: /^Time range/ }).locator('span').boundingBox()
      assert.ok(range.width >= 30, `the range has ${range.width} px`)
      await page.getByRole('button', { name: 'Order and row height' }).click()
      await everyLook(page, 'order-on-a-phone', { among: phoneLooks, pictured: false })
      await page.locator('[role=dialog] select').selectOption('-duration_ms')
      await page.waitForURL(/sort=-duration_ms/)
      await page.locator('[role=dialog] [role=checkbox], [role=dialog] [type=checkbox]').click()
      await page.waitForURL(/density=comfortable/)
      await page.keyboard.press('Escape')
      await turn(page, phoneLooks[0])
      await page.getByRole('button', { name: 'Command palette' }).click()
      await dialog(page).getByRole('combobox').waitFor()
    },
    { size: 'phone' },
  ))

test('Back brings back filters, order and time range', () =>
  ui.visit('/ops/requests', async (page) => {
    const chip = page.getByRole('button', { name: 'Remove Model' })
    const range = (words) => page.getByRole('button', { name: `Time range: ${words}` })
    await page.getByRole('button', { name: 'Filter', exact: true }).click()
    await page.getByLabel('Value').fill('gpt-4o-mini')
    await page.getByRole('button', { name: 'Apply' }).click()
    await chip.waitFor()
    await page.getByRole('columnheader', { name: 'Duration' }).getByRole('button').click()
    await page.waitForURL(/sort=-duration_ms/)
    await range('Last 24 hours').click()
    await page.getByRole('button', { name: 'Last 7 days' }).click()
    await range('Last 7 days').waitFor()
    await page.getByRole('button', { name: 'Clear all' }).click()
    await chip.waitFor({ state: 'detached' })

    await page.goBack()
    await chip.waitFor()
    await range('Last 7 days').waitFor()
    await page.goBack()
    await range('Last 24 hours').waitFor()
    assert.ok(await chip.isVisible())
    await page.goBack()
    await page.waitForURL((url) => !url.searchParams.has('sort'))
    assert.ok(await chip.isVisible())
    await page.goBack()
    await chip.waitFor({ state: 'detached' })
    await range('Last 24 hours').waitFor()
  }))

test('in place of a page: none there, not permitted, failed', async () => {
  await ui.visit('/ops/nowhere', async (page) => {
    await page.getByText('There is no such page').last().waitFor()
    await everyLook(page, 'nowhere')
  })
  await ui.api('POST', '/api/v1/ops/roles', { name: 'caller', permissions: ['read:logs'] })
  await ui.api('POST', '/api/v1/ops/users', { username: 'caller', role: 'caller', password, must_change_password: false })
  await ui.visit(
    '/ops/settings',
    async (page) => {
      await page.getByText('Your role does not permit this page').waitFor()
      await everyLook(page, 'forbidden')
      // One's own keys are everybody's.
      await turn(page, looks[0])
      await page.getByRole('button', { name: /^Your account/ }).click()
      await page.getByRole('menuitem', { name: 'Operator keys' }).click()
      await page.waitForURL('**/ops/operators?tab=keys')
      await page.locator('main').getByRole('button', { name: 'Create key' }).first().waitFor()
      assert.equal(await page.locator('main').getByRole('radio').count(), 1, 'no tab but the keys')
    },
    { as: 'caller' },
  )
  await ui.visit('/ops/nowhere', async (page) => {
    await page.route('**/api/v1/supervision/tree', (route) => route.fulfill({ json: {} }))
    await page.routeWebSocket(/\/api\/v1\/ws/, (socket) => socket.close())
    await page.reload()
    await page.getByText('This page failed').waitFor()
    await everyLook(page, 'crash')
    await turn(page, looks[0])
    await page.unroute('**/api/v1/supervision/tree')
    await page.getByRole('button', { name: 'Reload', exact: true }).click()
    await page.locator('main').getByRole('button', { name: 'To the overview' }).waitFor()
  }, { tolerated: [/WebSocket/] })
})

// That the words looked for are those of the pages: `every/overlay`, as an administrator.
test('a viewer is offered nothing that changes anything, on any page nor in any record', async () => {
  const offered = []
  await onEveryPage(ui, { as: 'looker' }, async (page, path) => {
    await settled(page)
    const note = async (where) => offered.push(...(await changesOffered(page)).map((name) => `${where}: ${name}`))
    await note(noun(path))
    if (!(await firstRow(page).isVisible())) return
    await firstRow(page).click()
    await settled(page)
    await note(`${noun(path)}, a record`)
    await page.keyboard.press('Escape')
    await dialog(page).waitFor({ state: 'detached' })
  })
  assert.deepEqual(offered, [])
})

/** From the next document on, what moves without anybody having touched it. */
const watchMoves = (page) =>
  page.addInitScript(() => {
    globalThis.shifts = []
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shifts.push([entry.value, ...entry.sources.map(({ node }) => node?.outerHTML?.slice(0, 120))])
    }).observe({ type: 'layout-shift', buffered: true })
  })
async function assertNothingMoved(page) {
  const shifts = await page.evaluate(() => globalThis.shifts)
  const sum = shifts.reduce((all, [value]) => all + value, 0)
  assert.ok(sum < 0.02, `moved by ${sum}: ${JSON.stringify(shifts)}`)
}

test('the figures of the overview are drawn before the drawing library is there, and nothing jumps', () =>
  ui.visit('/ops/nowhere', async (page) => {
    await heading(page)
    let release
    const held = new Promise((go) => (release = go))
    let asked = false
    await page.route(/\/assets\/engine-[^/]*\.js$/, async (route) => {
      asked = true
      await held
      await route.continue()
    })
    await watchMoves(page)
    await page.goto('/ops/overview')
    // Not a skeleton of it: the number of calls.
    await page.locator('main').getByText('8', { exact: true }).first().waitFor()
    assert.equal(await page.locator('main canvas').count(), 0)
    release()
    await page.locator('main canvas').first().waitFor()
    assert.ok(asked, 'the library came apart')
    await settled(page)
    await assertNothingMoved(page)
  }))

test('nothing jumps while the accounts come', () =>
  ui.visit('/ops/nowhere', async (page) => {
    await heading(page)
    await watchMoves(page)
    // Slow enough for the grey that stands in the rows' place.
    await page.route(/\/api\/v1\/accounts\?/, async (route) => {
      await page.locator('main [data-waiting] .animate-pulse').first().waitFor()
      await route.continue()
    }, { times: 1 })
    await page.goto('/ops/accounts')
    await page.locator('[role=row][data-index]').first().waitFor()
    await settled(page)
    await assertNothingMoved(page)
  }))
