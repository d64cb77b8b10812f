// What a page can look like, and how much of it has to be looked at.
//
// A size, a theme and a language make eight looks, and the browser tests spend their time on them: turning a page costs a
// layout, axe costs a good part of a second. So each state of a page is seen in as many as can show something new:
//
// - `distinct`, four of the eight, is where any two of the three meet: each theme at each size (contrasts, of the
//   elements that a size has), each language at each size (lengths, what overflows), each language in each theme. Only a
//   fault that needs all three at once is left out, and of those none can be thought of: a colour does not depend on
//   the words. Full and empty pages are examined here.
// - `opposite`, two of them, has each size, theme and language once. It is for what a page shows in the kit's words and
//   parts, a skeleton or a refusal, which are examined wherever `distinct` leads on the kit's own page: a page can still
//   forget what to say or leave too little room. What fits in Chinese and not in English is left to full and empty pages.
// - Full pages are pictured in all eight, and scroll sideways in none.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { assertAccessible } from './accessibility.mjs'
import { repository } from './processes.mjs'
import { settled, still } from './settled.mjs'

const pictures = join(repository, 'build/screenshots')

export const sizes = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } }
export const themes = ['light', 'dark']
export const languages = { en: 'en-US', zh: 'zh-CN' }
/** What the console calls them. */
const locales = { en: 'en', zh: 'zh-CN' }

/** Everything a page can look like. */
export const looks = Object.keys(sizes).flatMap((size) =>
  themes.flatMap((theme) => Object.keys(languages).map((language) => ({ size, theme, language }))),
)
const isDistinct = ({ size, theme, language }) => (size === 'desktop') === ((theme === 'light') === (language === 'en'))
/** Each size with each theme, each size with each language, each theme with each language. */
export const distinct = looks.filter(isDistinct)
/** Each size, each theme, each language. */
export const opposite = [looks[0], looks.at(-1)]
export const told = ({ size, theme, language }) => `${size}-${theme}-${language}`

/** In the page, which may be there already: whether it has this look, or what it was told before. */
const wears = ([width, theme, lang]) => {
  const { dataset, lang: spoken } = document.documentElement
  return innerWidth === width && dataset.theme === theme && spoken === lang
}

/** Turns an open page to another look, as its window, the system and the menu would. */
export async function turn(page, { size, theme, language }) {
  const look = [sizes[size].width, theme, locales[language]]
  if (await page.evaluate(wears, look)) return
  await page.setViewportSize(sizes[size])
  await page.emulateMedia({ colorScheme: theme })
  await page.evaluate((newValue) => {
    const key = 'steward.locale'
    localStorage.setItem(key, newValue)
    dispatchEvent(new StorageEvent('storage', { key, newValue, storageArea: localStorage }))
  }, locales[language])
  await page.waitForFunction(wears, look)
  // Colours pass over into the others, one element after what it lies in.
  await still(page)
}

/**
 * What holds for every page: in every look `among` them a picture and no sideways scrolling, and axe in those `examined`,
 * of the `part` that `assertAccessible` knows. `ready(page)` resolves once the page shows what it shall.
 */
export async function everyLook(page, name, { among = looks, examined = distinct, part, pictured = true, ready = settled } = {}) {
  if (pictured) mkdirSync(pictures, { recursive: true })
  for (const look of among) {
    const where = `${name}-${told(look)}`
    await turn(page, look)
    await ready(page)
    await assertNoSidewaysScrolling(page, where)
    if (examined.includes(look)) await assertAccessible(page, where, part)
    if (pictured) await page.screenshot({ path: join(pictures, `${where}.png`), animations: 'disabled' })
  }
}

/** At no width does a page scroll sideways; wide tables scroll in a box of their own. Charts follow their box by a frame or some. */
export async function assertNoSidewaysScrolling(page, where = page.url()) {
  const fits = () => document.documentElement.scrollWidth <= document.documentElement.clientWidth
  if (await page.evaluate(fits)) return
  if (await page.waitForFunction(fits, undefined, { timeout: 2_000 }).then(() => true, () => false)) return
  const { wide, widest } = await page.evaluate(() => {
    const room = document.documentElement.clientWidth
    const over = [...document.body.querySelectorAll('*')].filter((node) => node.getBoundingClientRect().right > room + 1)
    const name = (node) => `${node.tagName.toLowerCase()}.${[...node.classList].join('.')}`
    return { wide: document.documentElement.scrollWidth - room, widest: over.slice(0, 5).map(name) }
  })
  assert.fail(`${where} scrolls sideways by ${wide} px: ${widest.join(', ')}`)
}
