// The console of a running Steward, seen through Chromium.
//
//   const ui = await Console.start()                             in before(); ui.stop() in after()
//   await ui.visit('/ops/requests', async (page) => { … })       signed in; fails on any console error, on any
//                                                                request to elsewhere, on any uncaught exception
//   await ui.shoot('requests', '/ops/requests', ready)           one visit, turned to every size, theme and language: no
//                                                                sideways scrolling, a picture in build/screenshots/, and
//                                                                axe where it can find something new (`looks.mjs`)
//   await settled(page)                                          nothing is asked any more, nothing waits, all is drawn
//   await ui.api('POST', '/api/v1/tokens', { name: 'a' })        as an administrator
//   ui.provider.url                                              the fake provider, as an account's base URL
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'
import { parts } from './accessibility.mjs'
import { executablePath } from './browser.mjs'
import { everyLook, languages, sizes } from './looks.mjs'
import { password, startProvider, startSteward } from './processes.mjs'
import { watchRequests } from './settled.mjs'

export { assertAccessible, parts } from './accessibility.mjs'
export * from './looks.mjs'
export { settled } from './settled.mjs'
export { password }

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
   * errors that the test provokes, matched against "<text> <address>"; `loadMs`: how long the page may take to load.
   */
  async visit(path, look, options = {}) {
    const { signedIn = true, as = 'admin', size = 'desktop', theme = 'light', language = 'en', zone = 'UTC', tolerated = [], loadMs = 15_000 } = options
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
      await page.goto(path, { waitUntil: 'load', timeout: loadMs })
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
      await everyLook(page, name, { part: (await page.getByRole('dialog').count()) > 0 ? parts.over : parts.withoutFrame })
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
      watchRequests(page)
      page.on('crash', () => note('the page crashed'))
      page.on('websocket', (socket) => {
        if (elsewhere(socket.url())) note(`a WebSocket to elsewhere: ${socket.url()}`)
      })
    })
  }
}

/** Whether the focus is on it, or within. */
export const isFocused = (locator) => locator.evaluate((node) => node === document.activeElement || node.contains(document.activeElement))
