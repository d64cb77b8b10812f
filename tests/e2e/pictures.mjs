// The pictures of the README, from a running demo:
//
//   steward demo --calls-per-second 0.2                    as many calls as its history has
//   node tests/e2e/pictures.mjs http://127.0.0.1:8080      writes docs/guide/images/*.webp
//
// WebP at a quality that keeps small type sharp; a picture over the limit is an error, since a README is read on phones.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { executablePath } from './support/browser.mjs'
import { repository } from './support/processes.mjs'

const [home] = process.argv.slice(2)
/** The demo's own, told at its start. */
const password = 'demo-steward'
if (!home) {
  console.error('usage: node tests/e2e/pictures.mjs http://127.0.0.1:8080')
  process.exit(2)
}
const limitBytes = 150_000
const folder = join(repository, 'docs/guide/images')

const settled = async (page) => {
  await page.locator('h1').waitFor()
  await page.waitForFunction(() => document.querySelector('main [data-waiting]') === null)
}
const pictures = {
  overview: {
    path: '/ops/overview?range=7d',
    theme: 'light',
    ready: (page) => page.locator('canvas').nth(2).waitFor(),
  },
  requests: {
    path: '/ops/requests',
    theme: 'light',
    ready: async (page) => {
      await page.locator('[role=row][data-index]').filter({ hasText: /streamed|流式/ }).first().click()
      await page.locator('[role=dialog] h2').waitFor()
      await page.locator('[role=dialog] dl').first().waitFor()
    },
  },
  supervision: { path: '/ops/supervision', theme: 'dark', ready: (page) => page.getByRole('treegrid').waitFor() },
}

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu'],
})
try {
  mkdirSync(folder, { recursive: true })
  for (const [language, locale] of [['en', 'en-US'], ['zh-CN', 'zh-CN']]) {
    for (const [name, { path, theme, ready }] of Object.entries(pictures)) {
      const context = await browser.newContext({
        baseURL: home,
        viewport: { width: 1440, height: 900 },
        colorScheme: theme,
        locale,
        timezoneId: 'UTC',
        reducedMotion: 'reduce',
      })
      const answer = await context.request.post('/api/v1/auth/login', { data: { username: 'admin', password } })
      assert.equal(answer.status(), 200, await answer.text())
      const page = await context.newPage()
      await page.goto(path)
      await settled(page)
      await ready(page)
      // Charts draw once their box has a size, and the first news arrives.
      await page.waitForTimeout(2_000)
      const devtools = await context.newCDPSession(page)
      const { data } = await devtools.send('Page.captureScreenshot', { format: 'webp', quality: 82 })
      const bytes = Buffer.from(data, 'base64')
      assert.ok(bytes.length <= limitBytes, `${name} has ${bytes.length} bytes, more than ${limitBytes}`)
      writeFileSync(join(folder, `${name}.${language}.webp`), bytes)
      if (process.env.STEWARD_PICTURES_PNG) {
        await page.screenshot({ path: join(process.env.STEWARD_PICTURES_PNG, `${name}.${language}.png`) })
      }
      console.log(`${name}.${language}.webp ${(bytes.length / 1000).toFixed(0)} kB`)
      await context.close()
    }
  }
} finally {
  await browser.close()
}
