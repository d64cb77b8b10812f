// Every page the navigation leads to, found there, so that a page added later is held to the same: its states are
// accessible, what opens over it is, and the keyboard alone reaches everything and sees where it is.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, assertNoSidewaysScrolling, Console, languages, password, sizes, themes } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

const all = Object.keys(sizes).flatMap((size) => themes.flatMap((theme) => Object.keys(languages).map((language) => ({ size, theme, language }))))
/** Each size with each theme, each with each language. */
const pairs = all.filter((_, at) => [0, 3, 5, 6].includes(at))
const told = ({ size, theme, language }) => `${size}, ${theme}, ${language}`

/** Calls `look(page, path)` on each page, going there as people do. */
async function onEveryPage(options, look) {
  await ui.visit(
    '/ops/nowhere',
    async (page) => {
      await page.locator('main').getByText(/./).first().waitFor()
      // On a phone it is there and folded away.
      await page.locator('nav a').first().waitFor({ state: 'attached' })
      const paths = await page.locator('nav a').evaluateAll((links) => links.map((link) => link.getAttribute('href')))
      assert.ok(paths.length >= 9, `pages in the navigation: ${paths}`)
      if (options.prepare) await options.prepare(page)
      for (const path of paths) {
        await page.evaluate((to) => document.querySelector(`nav a[href="${to}"]`).click(), path)
        await page.waitForURL(`**${path}**`)
        await page.locator('main h1').waitFor()
        await look(page, path)
      }
    },
    options,
  )
}
const settled = async (page) => {
  await page.waitForLoadState('networkidle')
  await page.locator('main [data-waiting]').first().waitFor({ state: 'detached' })
}

test('every page, with nothing on it yet', async () => {
  for (const options of all) {
    await onEveryPage(options, async (page, path) => {
      await settled(page)
      await assertAccessible(page, `${path}, empty (${told(options)})`)
      await assertNoSidewaysScrolling(page, `${path}, empty (${told(options)})`)
    })
  }
})

/** What pages are made of; who is signed in and what this Steward is are known already. */
const data = (url) => url.pathname.startsWith('/api/') && !/\/(auth|instance)\//.test(url.pathname)

test('every page, while it waits for the server', async () => {
  for (const options of pairs) {
    const prepare = (page) => page.route(data, () => {})
    await onEveryPage({ ...options, prepare }, async (page, path) => {
      // Grey comes after 200 ms. What supervision shows is pushed as well, and not held up here.
      const grey = page.locator('main [data-waiting].animate-pulse, main [data-waiting] .animate-pulse').first()
      const waits = await grey.waitFor({ timeout: 5_000 }).then(() => true, () => false)
      assert.ok(waits || path.endsWith('/supervision'), `${path} does not say that it waits`)
      await assertAccessible(page, `${path}, waiting (${told(options)})`)
      await assertNoSidewaysScrolling(page, `${path}, waiting (${told(options)})`)
    })
  }
})

test('every page, when the server refuses', async () => {
  const body = JSON.stringify({ type: 'about:blank', title: 'Not now', status: 403, code: 'told_by_test', detail: 'Told by a test.', errors: [] })
  const fulfil = { status: 403, contentType: 'application/problem+json', body }
  for (const options of pairs) {
    const prepare = (page) => page.route(data, (route) => route.fulfill(fulfil))
    await onEveryPage({ ...options, prepare, tolerated: [/status of 403/] }, async (page, path) => {
      await page.locator('main [role=alert]').first().waitFor()
      assert.match(await page.locator('main').innerText(), /told_by_test/, path)
      await assertAccessible(page, `${path}, refused (${told(options)})`)
      await assertNoSidewaysScrolling(page, `${path}, refused (${told(options)})`)
    })
  }
})

test('there is something on the pages now', async () => {
  const account = { name: 'upstream', provider: 'fake', protocol: 'openai', base_url: `${ui.provider.url}/v1`, api_key: 'sk-upstream', models: ['*'] }
  await ui.api('POST', '/api/v1/accounts', account)
  await ui.api('POST', '/api/v1/accounts', { ...account, name: 'unused', models: ['nothing'] })
  const { token } = await ui.api('POST', '/api/v1/tokens', { name: 'billing', rpm: 100_000 })
  await ui.api('POST', '/api/v1/tokens', { name: 'reports' })
  await ui.api('POST', '/api/v1/ops/users', { username: 'looker', role: 'ops_viewer', password })
  await ui.api('POST', '/api/v1/ops/roles', { name: 'support', permissions: ['read:requests'] }).catch(() => {})
  for (const model of ['gpt-4o', 'gpt-4o-mini', 'gpt-4o+status=500', 'o3']) {
    for (const stream of [false, true]) {
      const answer = await fetch(`${ui.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'Hello' }] }),
      })
      await answer.text()
    }
  }
  const deadline = Date.now() + 20_000
  while ((await ui.api('GET', '/api/v1/logs/requests?limit=20')).items.length < 8) assert.ok(Date.now() < deadline, 'the calls are on the books')
})

test('what opens over every page', async () => {
  for (const options of pairs) {
    const where = (path, name) => `${path}, ${name} (${told(options)})`
    await onEveryPage(options, async (page, path) => {
      await settled(page)
      await assertAccessible(page, where(path, 'full'))
      const over = page.locator('[role=dialog], [role=menu]')
      // The bar's own menus are the same everywhere.
      const scope = path.endsWith('/overview') ? 'header [aria-haspopup], main [aria-haspopup]' : 'main [aria-haspopup]'
      const triggers = page.locator(scope).filter({ visible: true })
      for (let at = 0; at < (await triggers.count()); at++) {
        const name = (await triggers.nth(at).getAttribute('aria-label')) ?? (await triggers.nth(at).innerText())
        await triggers.nth(at).click()
        await over.first().waitFor()
        await assertAccessible(page, where(path, name))
        await assertNoSidewaysScrolling(page, where(path, name))
        await page.keyboard.press('Escape')
        await over.first().waitFor({ state: 'detached' })
      }
      const row = page.locator('main [role=row][data-index], main [role=treegrid] tbody [role=row]').first()
      if (!(await row.isVisible())) return
      await row.click()
      // Not every row opens something.
      const opened = await over.first().waitFor({ timeout: 3_000 }).then(() => true, () => false)
      if (!opened) return
      await page.locator('[role=dialog] [data-waiting]').first().waitFor({ state: 'detached' })
      await assertAccessible(page, where(path, 'a record'))
      // What its buttons ask or show, one after the other; what they do at once may be done to this Steward.
      const names = await page.locator('[role=dialog] button').filter({ visible: true, hasText: /\S/ }).allInnerTexts()
      for (const name of names) {
        const button = page.getByRole('dialog').first().getByRole('button', { name, exact: true }).first()
        if (!(await button.isVisible()) || (await button.isDisabled())) continue
        await button.click()
        const asked = await over.nth(1).waitFor({ timeout: 700 }).then(() => true, () => false)
        if (!asked) continue
        await assertAccessible(page, where(path, `a record, ${name}`))
        await page.keyboard.press('Escape')
        await over.nth(1).waitFor({ state: 'detached' })
      }
      await page.keyboard.press('Escape')
      await over.first().waitFor({ state: 'detached' })
    })
  }
})

/**
 * Presses Tab until the focus has been everywhere within `scope`, and tells what it never reached, and where it was not
 * to be seen. One of many stands for all of them where arrows move on: rows, radio buttons, tabs.
 */
async function walk(page, scope) {
  await page.evaluate((selector) => {
    const root = document.querySelector(selector)
    const shown = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !node.closest('[inert], [aria-hidden=true], [data-aria-hidden]')
    const wanted = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]'
    const composite = (node) => node.matches('[tabindex="-1"]') || (node.matches('input[type=radio]') && !node.checked)
    globalThis.toReach = new Set([...root.querySelectorAll(wanted)].filter((node) => shown(node) && !node.disabled && !composite(node)))
    globalThis.unseen = []
    document.activeElement?.blur()
    root.querySelector('h1, h2')?.focus()
  }, scope)
  const limit = 15 + 2 * (await page.evaluate(() => globalThis.toReach.size))
  for (let step = 0; step < limit; step++) {
    await page.keyboard.press('Tab')
    const left = await page.evaluate((selector) => {
      const node = document.activeElement
      globalThis.toReach.delete(node)
      if (node && node !== document.body && node.closest(selector)) {
        const rings = (one) => {
          const style = one && getComputedStyle(one)
          return style && style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 1
        }
        // A control may hand its ring to the box or the word around it.
        const ringed = rings(node) || rings(node.closest('label')) || rings(node.parentElement)
        const { top, bottom, left, right, width, height } = node.getBoundingClientRect()
        const inView = bottom > 0 && right > 0 && top < innerHeight && left < innerWidth && width > 0 && height > 0
        const name = () => `${node.outerHTML.slice(0, 140)}`
        if (!ringed) globalThis.unseen.push(`no ring: ${name()}`)
        if (!inView) globalThis.unseen.push(`out of view: ${name()}`)
      }
      return globalThis.toReach.size
    }, scope)
    if (left === 0) break
  }
  return page.evaluate(() => ({
    missed: [...globalThis.toReach].filter((node) => node.isConnected).map((node) => node.outerHTML.slice(0, 140)),
    unseen: [...new Set(globalThis.unseen)],
  }))
}

test('the keyboard reaches everything on every page, and is seen there', async () => {
  for (const size of Object.keys(sizes)) {
    await onEveryPage({ size }, async (page, path) => {
      await settled(page)
      for (const scope of path.endsWith('/overview') ? ['body'] : ['main']) {
        const { missed, unseen } = await walk(page, scope)
        assert.deepEqual(missed, [], `${path} (${size}): never reached`)
        assert.deepEqual(unseen, [], `${path} (${size}): not to be seen`)
      }
      const row = page.locator('main [role=row][data-index], main [role=treegrid] tbody [role=row]').first()
      if (!(await row.isVisible())) return
      await row.focus()
      await page.keyboard.press('Enter')
      const drawer = page.locator('[role=dialog]')
      const opened = await drawer.waitFor({ timeout: 3_000 }).then(() => true, () => false)
      if (!opened) return
      await page.locator('[role=dialog] [data-waiting]').first().waitFor({ state: 'detached' })
      const { missed, unseen } = await walk(page, '[role=dialog]')
      assert.deepEqual(missed, [], `${path}, a record (${size}): never reached`)
      assert.deepEqual(unseen, [], `${path}, a record (${size}): not to be seen`)
      await page.keyboard.press('Escape')
      await drawer.waitFor({ state: 'detached' })
    })
  }
})
