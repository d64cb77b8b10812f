// What opens over every page the navigation leads to, menus, popovers, records and what their buttons ask, is accessible
// and fits.
//
// Looked at are two looks at each size, light in English and dark in Chinese: that is every theme and every language at each
// size, so every contrast and every length. Examined is what opened and not the page below, which `page-full` saw. What a
// table brings along itself, and a long list of choices for, is in one look where another table showed it before. (How a
// dialog leaves the page below to a screen reader: the kit's page, whole, in `pages/kit`.)
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, everyLook, looks, parts, settled, sizes } from '../support/console.mjs'
import { changesOffered, fill, firstRow, noun, onEveryPage } from '../support/pages.mjs'

let ui
before(async () => {
  ui = await Console.start()
  await fill(ui)
})
after(() => ui?.stop())

/** Kept views, the columns, on a phone the order: the kit's words and the columns' titles. */
const ofAnyTable = ['Saved views', 'Columns', 'Order and row height']
const over = (page) => page.locator('[role=dialog], [role=menu]')

for (const size of Object.keys(sizes)) {
  test(`what opens over every page, ${size}`, async () => {
    const [inEnglish, inChinese] = looks.filter((look) => look.size === size && (look.theme === 'light') === (look.language === 'en'))
    const shown = new Set()
    /** The pages that offer an administrator to change something, by a word that a viewer must not read. */
    const offering = new Set()

    await onEveryPage(ui, { size }, async (page, path) => {
      const note = async () => (await changesOffered(page)).length > 0 && offering.add(path)
      const lookAt = async (name) => {
        const among = shown.has(name) ? [inEnglish] : [inChinese, inEnglish]
        if (ofAnyTable.includes(name)) shown.add(name)
        await everyLook(page, `${path}, ${name}`, { among, examined: among, part: parts.over, pictured: false })
      }
      await settled(page)
      await note()
      // The bar's own menus are the same everywhere.
      const scope = noun(path) === 'overview' ? 'header [aria-haspopup], main [aria-haspopup]' : 'main [aria-haspopup]'
      const triggers = page.locator(scope).filter({ visible: true })
      for (let at = 0; at < (await triggers.count()); at++) {
        const name = (await triggers.nth(at).getAttribute('aria-label')) ?? (await triggers.nth(at).innerText())
        await triggers.nth(at).click()
        await over(page).first().waitFor()
        await lookAt(name)
        await page.keyboard.press('Escape')
        await over(page).first().waitFor({ state: 'detached' })
      }
      if (!(await firstRow(page).isVisible())) return
      await firstRow(page).click()
      await settled(page)
      // Not every row opens something.
      if ((await over(page).count()) === 0) return
      await note()
      await lookAt('a record')
      await openFromRecord(page, lookAt)
      await page.keyboard.press('Escape')
      await over(page).first().waitFor({ state: 'detached' })
    })
    assert.ok(offering.size >= 12, `changes are offered on ${[...offering].join(', ')}`)
  })
}

/** What a record's buttons ask or show, one after the other; what they do at once may be done to this Steward. */
async function openFromRecord(page, lookAt) {
  const names = await page.locator('[role=dialog] button').filter({ visible: true, hasText: /\S/ }).allInnerTexts()
  for (const name of names) {
    const button = page.getByRole('dialog').first().getByRole('button', { name, exact: true }).first()
    if (!(await button.isVisible()) || (await button.isDisabled())) continue
    await closeMessages(page)
    await button.click()
    await settled(page)
    if ((await over(page).count()) < 2) continue
    await lookAt(`a record, ${name}`)
    await page.keyboard.press('Escape')
    await over(page).nth(1).waitFor({ state: 'detached' })
  }
}

/** On a phone a message lies over a record's last buttons for some seconds, and as long as the pointer is on it. */
async function closeMessages(page) {
  await page.locator('[data-sonner-toast] [data-close-button]').evaluateAll((all) => all.forEach((button) => button.click()))
  await page.waitForFunction(() => document.querySelector('[data-sonner-toast]') === null)
}
