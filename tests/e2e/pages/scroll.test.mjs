// Where one stands: a new page begins at its top, Back leads to where one was, another list begins at its first row.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, settled } from '../support/console.mjs'

let ui
before(async () => {
  ui = await Console.start()
  for (let n = 0; n < 60; n++) await ui.api('POST', '/api/v1/tokens', { name: `key ${n}`, app: 'crm' })
})
after(() => ui?.stop())

test('a new page begins at its top, and Back leads to where one was', () =>
  ui.visit('/ops/settings', async (page) => {
    await settled(page)
    await page.evaluate(() => window.scrollTo(0, 500))
    assert.equal(await page.evaluate(() => window.scrollY), 500, 'the settings are longer than the window')
    await page.getByRole('navigation').getByRole('link', { name: 'Usage & cost' }).click()
    await page.waitForURL('**/ops/usage')
    await settled(page)
    assert.equal(await page.evaluate(() => window.scrollY), 0)
    await page.goBack()
    await page.waitForURL('**/ops/settings')
    await page.waitForFunction(() => window.scrollY === 500)
  }))

test('another list begins at its first row, a record that is opened leaves it where it is', () =>
  ui.visit('/ops/tokens', async (page) => {
    const grid = page.getByRole('grid')
    const top = () => grid.evaluate((node) => node.scrollTop)
    await grid.getByText('key 59').waitFor()
    await grid.evaluate((node) => (node.scrollTop = 600))
    await page.locator('[data-index="25"]').click()
    await page.waitForURL(/tokens\/tok_/)
    await settled(page)
    assert.equal(await top(), 600)
    await page.keyboard.press('Escape')
    await page.waitForURL((url) => url.pathname === '/ops/tokens')
    await page.locator('[data-shortcut=search]').fill('key')
    await page.keyboard.press('Enter')
    await page.waitForURL(/q=key/)
    await settled(page)
    assert.equal(await top(), 0)
  }))

test('on a phone a drawer keeps the focus, elsewhere it leaves the header free', () =>
  ui.visit(
    '/ops/tokens',
    async (page) => {
      await page.locator('[data-index="0"]').click()
      const drawer = page.getByRole('dialog')
      await drawer.waitFor()
      await settled(page)
      for (let step = 0; step < 30; step++) {
        await page.keyboard.press('Tab')
        const behind = await page.evaluate(() => document.activeElement.closest('#app *')?.outerHTML.slice(0, 100))
        assert.equal(behind, undefined, `after ${step + 1} steps`)
      }
      await page.setViewportSize({ width: 1440, height: 900 })
      const box = await drawer.boundingBox()
      const header = await page.locator('header').first().boundingBox()
      assert.ok(box.y >= header.y + header.height - 1, `${box.y} lies below ${header.y + header.height}`)
      await page.setViewportSize({ width: 390, height: 844 })
      await page.keyboard.press('Escape')
      await drawer.waitFor({ state: 'detached' })
      await page.waitForFunction(() => document.activeElement.closest('main [data-index]') !== null)
    },
    { size: 'phone' },
  ))

test('what lies under a drawer beside the page is no stop for the keyboard', () =>
  ui.visit('/ops/tokens', async (page) => {
    await page.locator('[data-index="0"]').click()
    const drawer = page.getByRole('dialog')
    await drawer.waitFor()
    await settled(page)
    const edge = (await drawer.boundingBox()).x
    const create = page.locator('main').getByRole('button', { name: 'Create key' })
    assert.ok((await create.boundingBox()).x >= edge, 'there is something that lies under it')
    const stops = []
    // The drawer keeps Tab to itself; who searches or clicks beside it is on the page.
    for (const key of ['Shift+Tab', 'Tab']) {
      await page.keyboard.press('/')
      for (let step = 0; step < 25; step++) {
        await page.keyboard.press(key)
        const stop = await page.evaluate(() => {
          const { left, width } = document.activeElement.getBoundingClientRect()
          const inMain = document.activeElement.closest('main') !== null
          return inMain && width > 0 && { left, html: document.activeElement.outerHTML.slice(0, 120) }
        })
        if (stop) stops.push(stop)
      }
    }
    assert.ok(stops.length > 1, 'the page beside it is still walked through')
    assert.deepEqual(stops.filter(({ left }) => left >= edge), [])
    await drawer.getByRole('button', { name: 'Close' }).click()
    await drawer.waitFor({ state: 'detached' })
    await create.focus()
    assert.ok(await create.evaluate((node) => node === document.activeElement))
  }))

test('on a phone a message covers no button', () =>
  ui.visit(
    '/ops/tokens',
    async (page) => {
      await page.locator('[data-index="0"]').click()
      const drawer = page.getByRole('dialog')
      await drawer.getByRole('button', { name: 'Disable' }).click()
      const message = page.locator('[data-sonner-toast]')
      await message.waitFor()
      await drawer.getByRole('button', { name: 'Enable' }).waitFor()
      await settled(page)
      const top = async () => (await message.boundingBox()).y
      const buttons = await drawer.locator('footer button').all()
      assert.ok(buttons.length > 0)
      for (const button of buttons) {
        const { y, height } = await button.boundingBox()
        assert.ok(y + height <= (await top()), `${await button.innerText()} ends at ${y + height}, the message begins at ${await top()}`)
      }
      await page.getByRole('button', { name: 'Close', exact: true }).and(drawer.locator('header button')).click()
      await drawer.waitFor({ state: 'detached' })
      await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight))
      const end = await page.evaluate(() => document.querySelector('main').firstElementChild.getBoundingClientRect().bottom)
      assert.ok(end <= (await top()), `the page ends at ${end}, the message begins at ${await top()}`)
      await message.locator('[data-close-button]').click()
      await message.waitFor({ state: 'detached' })
      await page.waitForFunction(() => document.documentElement.style.getPropertyValue('--notices') === '0px')
      await page.evaluate(() => window.scrollTo(0, 0))
      await page.getByRole('button', { name: 'Create key' }).click()
      await page.getByRole('dialog').locator('[name=name]:focus').waitFor()
      await settled(page)
      const { y, height } = await page.getByRole('dialog').boundingBox()
      assert.equal(y + height, 844, 'where there is no message the lower edge is the edge')
    },
    { size: 'phone' },
  ))
