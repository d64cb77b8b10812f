// The console of a running Steward, seen through Chromium.
//
//   const ui = await Console.start()                             in before(); ui.stop() in after()
//   await ui.visit('/ops/requests', async (page) => { … })       signed in; fails on any console error, on any
//                                                                request to elsewhere, on any uncaught exception
//   await ui.shoot('requests', '/ops/requests', ready)           every size, theme and language: axe, no sideways
//                                                                scrolling, a picture in build/screenshots/
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
]
const pictures = join(repository, 'build/screenshots')

export const sizes = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } }
export const themes = ['light', 'dark']
export const languages = { en: 'en-US', zh: 'zh-CN' }

export class Console {
  static async start({ env } = {}) {
    const started = []
    try {
      const provider = await startProvider()
      started.push(() => provider.stop())
      const steward = await startSteward(env)
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
   * `signedIn` (true), `size` ('desktop'), `theme` ('light'), `language` ('en'); `tolerated`: expressions for console
   * errors that the test provokes, matched against "<text> <address>".
   */
  async visit(path, look, options = {}) {
    const { signedIn = true, size = 'desktop', theme = 'light', language = 'en', tolerated = [] } = options
    const context = await this.browser.newContext({
      baseURL: this.url,
      viewport: sizes[size],
      colorScheme: theme,
      locale: languages[language],
      timezoneId: 'UTC',
      reducedMotion: 'reduce',
    })
    const wrong = []
    try {
      context.setDefaultTimeout(15_000)
      await this.#watch(context, wrong, tolerated)
      if (signedIn) await this.#signIn(context)
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
    mkdirSync(pictures, { recursive: true })
    for (const size of Object.keys(sizes)) {
      for (const theme of themes) {
        for (const language of Object.keys(languages)) {
          const where = `${name}-${size}-${theme}-${language}`
          const look = async (page) => {
            await ready(page)
            await page.evaluate(() => document.fonts.ready.then(() => true))
            await page.screenshot({ path: join(pictures, `${where}.png`), animations: 'disabled' })
            await assertAccessible(page, where)
            await assertNoSidewaysScrolling(page, where)
          }
          await this.visit(path, look, { ...options, size, theme, language })
        }
      }
    }
  }

  /** The session's cookie, as the sign-in form would get it; the console renews its token from it. */
  async #signIn(context) {
    const answer = await context.request.post('/api/v1/auth/login', { data: { username: 'admin', password } })
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
      page.on('crash', () => note('the page crashed'))
      page.on('websocket', (socket) => {
        if (elsewhere(socket.url())) note(`a WebSocket to elsewhere: ${socket.url()}`)
      })
    })
    // Nothing leaves this machine, whatever a page tries.
    await context.route(elsewhereUrl(this.url), (route) => route.abort())
  }
}

const elsewhereUrl = (home) => (address) => /^https?:$/.test(address.protocol) && address.origin !== home

/** At no width does a page scroll sideways; wide tables scroll in a box of their own. */
export async function assertNoSidewaysScrolling(page, where = page.url()) {
  const { wide, widest } = await page.evaluate(() => {
    const room = document.documentElement.clientWidth
    const over = [...document.body.querySelectorAll('*')].filter((node) => node.getBoundingClientRect().right > room + 1)
    const name = (node) => `${node.tagName.toLowerCase()}.${[...node.classList].join('.')}`
    return { wide: document.documentElement.scrollWidth - room, widest: over.slice(0, 5).map(name) }
  })
  assert.ok(wide <= 0, `${where} scrolls sideways by ${wide} px: ${widest.join(', ')}`)
}
