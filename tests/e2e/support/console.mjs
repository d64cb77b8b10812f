// The console of a running Steward, seen through Chromium.
//
//   const ui = await Console.start()                             in before(); ui.stop() in after()
//   await ui.visit('/ops/requests', async (page) => { … })       signed in; fails on any console error, on any
//                                                                request to elsewhere, on any uncaught exception
//   await ui.shoot('requests', '/ops/requests', ready)           one visit, turned to every size, theme and language: axe,
//                                                                no sideways scrolling, a picture in build/screenshots/
//   await settled(page)                                          nothing is asked any more, nothing waits, all is drawn
//   await ui.api('POST', '/api/v1/tokens', { name: 'a' })        as an administrator
//   ui.provider.url                                              the fake provider, as an account's base URL
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { assertAccessible } from './accessibility.mjs'
import { password, repository, startProvider, startSteward } from './processes.mjs'

export { assertAccessible, password }

const executablePath = process.env.STEWARD_CHROMIUM ?? '/usr/bin/chromium'
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Nothing leaves this machine, whatever a page tries.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
]
const pictures = join(repository, 'build/screenshots')

export const sizes = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } }
export const themes = ['light', 'dark']
export const languages = { en: 'en-US', zh: 'zh-CN' }
/** What the console calls them. */
const locales = { en: 'en', zh: 'zh-CN' }

/** Everything a page can look like: a size, a theme, a language. */
export const looks = Object.keys(sizes).flatMap((size) =>
  themes.flatMap((theme) => Object.keys(languages).map((language) => ({ size, theme, language }))),
)
/**
 * Where axe can find something else: a theme has its own contrasts, a size its own elements, and each of the four has
 * one of the languages, whose words are there in both by their types.
 */
const isDistinct = ({ size, theme, language }) => (size === 'desktop') === ((theme === 'light') === (language === 'en'))
export const distinct = looks.filter(isDistinct)
export const told = ({ size, theme, language }) => `${size}-${theme}-${language}`

/** What a page asked for and has not got. */
const underWay = new WeakMap()
const patienceMs = 15_000

export class Console {
  static async start({ env, demo, secret } = {}) {
    const started = []
    try {
      const provider = await startProvider()
      started.push(() => provider.stop())
      const steward = await startSteward(env, { demo, secret })
      started.push(() => steward.stop())
      const browser = await chromium.launch({ executablePath, args, headless: true })
      started.push(() => browser.close())
      return new Console(provider, steward, browser)
    } catch (cause) {
      for (const stop of started.reverse()) await stop()
      throw cause
    }
  }

  constructor(provider, steward, browser) {
    this.provider = provider
    this.steward = steward
    this.browser = browser
    this.url = steward.url
    this.api = steward.api
  }

  /** The same, at another address of this machine that leads to this Steward. */
  at(url) {
    const other = new Console(this.provider, this.steward, this.browser)
    other.url = url
    return other
  }

  async stop() {
    await this.browser.close()
    await this.steward.stop()
    await this.provider.stop()
  }

  /**
   * Opens `path` in a browser of its own and hands the page to `look`.
   *
   * `signedIn` (true), `as` ('admin'), `size` ('desktop'), `theme` ('light'), `language` ('en'), `zone` ('UTC'); `tolerated`: expressions for console
   * errors that the test provokes, matched against "<text> <address>".
   */
  async visit(path, look, options = {}) {
    const { signedIn = true, as = 'admin', size = 'desktop', theme = 'light', language = 'en', zone = 'UTC', tolerated = [] } = options
    const context = await this.browser.newContext({
      baseURL: this.url,
      viewport: sizes[size],
      colorScheme: theme,
      locale: languages[language],
      timezoneId: zone,
      reducedMotion: 'reduce',
    })
    const wrong = []
    try {
      context.setDefaultTimeout(15_000)
      await this.#watch(context, wrong, tolerated)
      if (signedIn) await this.#signIn(context, as)
      const page = await context.newPage()
      await page.goto(path, { waitUntil: 'load' })
      await look(page)
      assert.deepEqual(wrong, [], `${path} (${size}, ${theme}, ${language})`)
    } catch (cause) {
      if (wrong.length > 0) cause.message += `\nThe browser said:\n  ${wrong.join('\n  ')}`
      throw cause
    } finally {
      await context.close()
    }
  }

  /** `ready(page)` resolves once the page shows what it is for. */
  async shoot(name, path, ready, options = {}) {
    const look = async (page) => {
      await ready(page)
      await everyLook(page, name)
    }
    await this.visit(path, look, options)
  }

  /** The session's cookie, as the sign-in form would get it; the console renews its token from it. */
  async #signIn(context, username) {
    const answer = await context.request.post('/api/v1/auth/login', { data: { username, password } })
    assert.equal(answer.status(), 200, await answer.text())
  }

  async #watch(context, wrong, tolerated) {
    const forgiven = (text) => tolerated.some((expression) => expression.test(text))
    const note = (text) => forgiven(text) || wrong.push(text)
    const elsewhere = (address) => {
      const { origin, protocol, host } = new URL(address)
      if (['data:', 'blob:', 'about:'].includes(protocol)) return false
      return origin !== this.url && !(protocol === 'ws:' && host === new URL(this.url).host)
    }
    context.on('console', (message) => {
      if (message.type() === 'error') note(`console error: ${message.text()} ${message.location().url}`)
    })
    context.on('weberror', (problem) => note(`uncaught: ${problem.error().stack ?? problem.error()}`))
    context.on('request', (request) => {
      if (elsewhere(request.url())) note(`a request to elsewhere: ${request.url()}`)
    })
    context.on('page', (page) => {
      const open = new Set()
      underWay.set(page, open)
      page.on('request', (request) => open.add(request))
      for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => open.delete(request))
      // A refusal ends with its status: nobody has to read what else it says.
      page.on('response', (response) => response.ok() || open.delete(response.request()))
      page.on('crash', () => note('the page crashed'))
      page.on('websocket', (socket) => {
        if (elsewhere(socket.url())) note(`a WebSocket to elsewhere: ${socket.url()}`)
      })
    })
  }
}

/** In the page: two frames later, what still moves and will end. */
const moving = `(async () => {
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame)
  const ends = (one) => Number.isFinite(one.effect?.getComputedTiming().endTime)
  return document.getAnimations().find((one) => one.playState === 'running' && ends(one))?.effect.target.outerHTML.slice(0, 140)
})()`

async function until(page, idle) {
  const deadline = Date.now() + patienceMs
  for (;;) {
    const busy = await idle()
    if (busy.length === 0) return
    assert.ok(Date.now() < deadline, `${page.url()} is not done: ${busy.join(', ')}`)
  }
}

/** Whether the focus is on it, or within. */
export const isFocused = (locator) => locator.evaluate((node) => node === document.activeElement || node.contains(document.activeElement))

/** Waits until the page asks for nothing, nothing on it waits or moves, its type has come, and two frames were drawn since. */
export const settled = (page) =>
  until(page, async () => {
    await page.evaluate(() => document.fonts.ready.then(() => true))
    const moves = await page.evaluate(moving)
    const waits = await page.evaluate(() => document.querySelector('[data-waiting]')?.outerHTML.slice(0, 140))
    return [moves, waits, ...[...underWay.get(page)].map((request) => request.url())].filter(Boolean)
  })

/** Turns an open page to another look, as its window, the system and the menu would. */
export async function turn(page, { size, theme, language }) {
  await page.setViewportSize(sizes[size])
  await page.emulateMedia({ colorScheme: theme })
  await page.evaluate(
    ([key, newValue]) => {
      localStorage.setItem(key, newValue)
      dispatchEvent(new StorageEvent('storage', { key, newValue, storageArea: localStorage }))
    },
    ['steward.locale', locales[language]],
  )
  await page.waitForFunction(
    ([theme, lang]) => document.documentElement.dataset.theme === theme && document.documentElement.lang === lang,
    [theme, locales[language]],
  )
  // Colours pass over into the others, one element after what it lies in.
  await until(page, async () => [await page.evaluate(moving)].filter(Boolean))
}

/**
 * What holds for every page: in every look a picture and no sideways scrolling, and axe in those `examined`.
 * `ready(page)` resolves once the page shows what it shall.
 */
export async function everyLook(page, name, { among = looks, examined = distinct, pictured = true, ready = settled } = {}) {
  if (pictured) mkdirSync(pictures, { recursive: true })
  for (const look of among) {
    const where = `${name}-${told(look)}`
    await turn(page, look)
    await ready(page)
    await assertNoSidewaysScrolling(page, where)
    if (examined.includes(look)) await assertAccessible(page, where)
    if (pictured) await page.screenshot({ path: join(pictures, `${where}.png`), animations: 'disabled' })
  }
}

/** At no width does a page scroll sideways; wide tables scroll in a box of their own. Charts follow their box by a frame or some. */
export async function assertNoSidewaysScrolling(page, where = page.url()) {
  const fits = () => document.documentElement.scrollWidth <= document.documentElement.clientWidth
  if (await page.waitForFunction(fits, undefined, { timeout: 2_000 }).then(() => true, () => false)) return
  const { wide, widest } = await page.evaluate(() => {
    const room = document.documentElement.clientWidth
    const over = [...document.body.querySelectorAll('*')].filter((node) => node.getBoundingClientRect().right > room + 1)
    const name = (node) => `${node.tagName.toLowerCase()}.${[...node.classList].join('.')}`
    return { wide: document.documentElement.scrollWidth - room, widest: over.slice(0, 5).map(name) }
  })
  assert.fail(`${where} scrolls sideways by ${wide} px: ${widest.join(', ')}`)
}
