// What opens over every page the navigation leads to is accessible too, and the keyboard alone reaches everything on all of
// them and sees where it is.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, distinct, everyLook, settled, sizes, turn } from '../support/console.mjs'
import { fill, onEveryPage } from '../support/pages.mjs'

let ui
before(async () => {
  ui = await Console.start()
  await fill(ui)
})
after(() => ui?.stop())

const firstRow = (page) => page.locator('main [role=row][data-index], main [role=treegrid] tbody [role=row]').first()

test('what opens over every page', async () => {
  for (const size of Object.keys(sizes)) {
    const among = distinct.filter((look) => look.size === size)
    await onEveryPage(ui, { size }, async (page, path) => {
      await settled(page)
      const over = page.locator('[role=dialog], [role=menu]')
      const lookAt = async (name) => {
        await everyLook(page, `${path}, ${name}`, { among, pictured: false })
        await turn(page, { size, theme: 'light', language: 'en' })
      }
      // The bar's own menus are the same everywhere.
      const scope = path.endsWith('/overview') ? 'header [aria-haspopup], main [aria-haspopup]' : 'main [aria-haspopup]'
      const triggers = page.locator(scope).filter({ visible: true })
      for (let at = 0; at < (await triggers.count()); at++) {
        const name = (await triggers.nth(at).getAttribute('aria-label')) ?? (await triggers.nth(at).innerText())
        await triggers.nth(at).click()
        await over.first().waitFor()
        await lookAt(name)
        await page.keyboard.press('Escape')
        await over.first().waitFor({ state: 'detached' })
      }
      if (!(await firstRow(page).isVisible())) return
      await firstRow(page).click()
      await settled(page)
      // Not every row opens something.
      if ((await over.count()) === 0) return
      await lookAt('a record')
      // What its buttons ask or show, one after the other; what they do at once may be done to this Steward.
      const names = await page.locator('[role=dialog] button').filter({ visible: true, hasText: /\S/ }).allInnerTexts()
      for (const name of names) {
        const button = page.getByRole('dialog').first().getByRole('button', { name, exact: true }).first()
        if (!(await button.isVisible()) || (await button.isDisabled())) continue
        await button.click()
        await settled(page)
        if ((await over.count()) < 2) continue
        await lookAt(`a record, ${name}`)
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
    await onEveryPage(ui, { size }, async (page, path) => {
      await settled(page)
      for (const scope of path.endsWith('/overview') ? ['body'] : ['main']) {
        const { missed, unseen } = await walk(page, scope)
        assert.deepEqual(missed, [], `${path} (${size}): never reached`)
        assert.deepEqual(unseen, [], `${path} (${size}): not to be seen`)
      }
      if (!(await firstRow(page).isVisible())) return
      await firstRow(page).focus()
      await page.keyboard.press('Enter')
      await settled(page)
      const drawer = page.locator('[role=dialog]')
      if ((await drawer.count()) === 0) return
      const { missed, unseen } = await walk(page, '[role=dialog]')
      assert.deepEqual(missed, [], `${path}, a record (${size}): never reached`)
      assert.deepEqual(unseen, [], `${path}, a record (${size}): not to be seen`)
      await page.keyboard.press('Escape')
      await drawer.waitFor({ state: 'detached' })
    })
  }
})
