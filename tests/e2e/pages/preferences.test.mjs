// What one person likes of the console: theme and language, where they are chosen and how long they hold.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

test('theme and language, by the menu and by the palette, hold over a reload', () =>
  ui.visit('/ops/overview', async (page) => {
    await page.locator('main h1').waitFor()
    const looksLike = (theme, lang) =>
      page.waitForFunction(
        ([wanted, spoken]) => document.documentElement.dataset.theme === wanted && document.documentElement.lang === spoken,
        [theme, lang],
      )
    const menu = page.locator('header [aria-haspopup=menu]')
    const choose = async (name) => {
      await menu.click()
      await page.getByRole('menuitemcheckbox', { name }).click()
      await page.getByRole('menu').waitFor({ state: 'detached' })
    }
    const isChosen = async (...names) => {
      await menu.click()
      for (const name of names) assert.equal(await page.getByRole('menuitemcheckbox', { name }).getAttribute('aria-checked'), 'true', name)
      await page.keyboard.press('Escape')
      await page.getByRole('menu').waitFor({ state: 'detached' })
    }
    await looksLike('light', 'en')
    await isChosen('Theme: As the system', 'English')
    await choose('Theme: Dark')
    await looksLike('dark', 'en')
    await choose('简体中文')
    await looksLike('dark', 'zh-CN')
    await page.getByRole('heading', { level: 1, name: '总览' }).waitFor()
    await page.reload()
    await page.getByRole('heading', { level: 1, name: '总览' }).waitFor()
    await looksLike('dark', 'zh-CN')
    await isChosen('主题：深色', '简体中文')
    await choose('主题：跟随系统')
    await looksLike('light', 'zh-CN')
    await page.emulateMedia({ colorScheme: 'dark' })
    await looksLike('dark', 'zh-CN')
    await page.emulateMedia({ colorScheme: 'light' })
    await looksLike('light', 'zh-CN')

    const order = async (words) => {
      await page.keyboard.press('Control+k')
      await page.getByRole('dialog').getByRole('combobox').fill(words)
      await page.keyboard.press('Enter')
      await page.getByRole('dialog').getByRole('combobox').waitFor({ state: 'detached' })
    }
    await order('language')
    await looksLike('light', 'en')
    await order('theme')
    await looksLike('dark', 'en')
    await page.reload()
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
    await looksLike('dark', 'en')
    await order('Switch between light and dark')
    await looksLike('light', 'en')
  }))
