// Every page the navigation leads to, with something on it: pictured in every look, accessible in the four that cover every
// two of size, theme and language (`support/looks.mjs` says why that is enough), and wider than its window in none. A
// page is opened once and turned from look to look. (Empty: `page-empty`. Waiting and refused: `page-refused`. What opens
// over it: `overlay`. The keyboard: `keyboard`.)
import { after, before, test } from 'node:test'
import { Console, everyLook, settled } from '../support/console.mjs'
import { examinedOf, fill, noun, onEveryPage } from '../support/pages.mjs'

let ui
before(async () => {
  ui = await Console.start()
  await fill(ui)
})
after(() => ui?.stop())

test('every page, with something on it, in every size, theme and language', () =>
  onEveryPage(ui, {}, async (page, path) => {
    await settled(page)
    await everyLook(page, noun(path), { part: examinedOf(path) })
  }))
