// The keyboard alone reaches everything on every page the navigation leads to and in what a record opens, at both sizes, and
// one sees where it is.
import { after, before, test } from 'node:test'
import { Console, settled, sizes } from '../support/console.mjs'
import { fill, firstRow, noun, onEveryPage } from '../support/pages.mjs'
import { walk } from '../support/walk.mjs'

let ui
before(async () => {
  ui = await Console.start()
  await fill(ui)
})
after(() => ui?.stop())

for (const size of Object.keys(sizes)) {
  test(`the keyboard reaches everything on every page, and is seen there, ${size}`, () =>
    onEveryPage(ui, { size }, async (page, path) => {
      await settled(page)
      await walk(page, noun(path) === 'overview' ? 'body' : 'main', `${path} (${size})`)
      if (!(await firstRow(page).isVisible())) return
      await firstRow(page).focus()
      await page.keyboard.press('Enter')
      await settled(page)
      const drawer = page.locator('[role=dialog]')
      if ((await drawer.count()) === 0) return
      await walk(page, '[role=dialog]', `${path}, a record (${size})`)
      await page.keyboard.press('Escape')
      await drawer.waitFor({ state: 'detached' })
    }))
}
