// Every page the navigation leads to, found there, so that a page added later is held to the same, with nothing on it yet:
// it says so, is accessible and scrolls sideways in no look.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, distinct, everyLook, settled } from '../support/console.mjs'
import { examinedOf, noun, onEveryPage } from '../support/pages.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

test('every page, with nothing on it yet', () =>
  onEveryPage(ui, {}, async (page, path) => {
    await settled(page)
    if (['requests', 'conversations', 'tokens', 'accounts', 'prompts', 'feedback', 'tenants', 'templates', 'knowledge', 'jobs', 'reports'].includes(noun(path))) {
      assert.equal(await page.locator('main [role=grid]').count(), 0, `${path}: a table of nothing`)
      assert.ok((await page.locator('main').innerText()).split('\n').length > 2, `${path}: more than a heading`)
    }
    await everyLook(page, `${noun(path)}-empty`, { among: distinct, part: examinedOf(path) })
  }))
