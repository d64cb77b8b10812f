// The kit's page, which only a builder's `npm run dev` serves: every state of every part is accessible in every size,
// theme and language, and so is what opens over the page.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { assertAccessible, Console, everyLook, parts, turn } from '../support/console.mjs'
import { repository } from '../support/processes.mjs'

let ui
let builder
let kit
before(async () => {
  ui = await Console.start()
  const web = join(repository, 'static')
  const vite = createRequire(join(web, 'package.json')).resolve('vite')
  process.env.STEWARD_API = ui.url
  const { createServer } = await import(pathToFileURL(vite))
  builder = await createServer({
    root: web,
    configFile: join(web, 'vite.config.ts'),
    cacheDir: join(repository, 'build/vite'),
    logLevel: 'error',
    server: { host: '127.0.0.1', port: 0, hmr: false },
    // Found once and up front: a page that reloads because a library was found late is no page to look at.
    optimizeDeps: { entries: ['index.html', 'src/**/*.vue'] },
  })
  await builder.listen()
  kit = ui.at(`http://127.0.0.1:${builder.httpServer.address().port}`)
})
after(async () => {
  await builder?.close()
  await ui?.stop()
})

// Whoever asks first waits until every module is made for the browser.
const loadMs = 60_000
// One part asks for a job that does not exist, to show what it says then.
const tolerated = [/404 .*\/api\/v1\/jobs\//]
const ready = async (page) => {
  await page.locator('canvas').nth(3).waitFor({ state: 'attached', timeout: 60_000 })
  await page.locator('.markdown strong').waitFor()
  await page.getByText('not_found').waitFor()
}

test('every state of every part, in every size, theme and language', () =>
  // What waits here waits for ever: that is a state of its part.
  kit.visit('/ops/kit', (page) => everyLook(page, 'kit', { ready }), { tolerated, loadMs }))

test('what opens over the page, in both themes', async () => {
  for (const options of [{}, { theme: 'dark', language: 'zh', size: 'phone' }]) {
    await kit.visit(
      '/ops/kit',
      async (page) => {
        await ready(page)
        const names = await page.locator('[data-over]').evaluateAll((nodes) => nodes.map((node) => node.dataset.over))
        assert.ok(names.length >= 10)
        for (const name of names) {
          await page.locator(`[data-over=${name}]`).click()
          const over = page.locator('[role=dialog], [role=menu]').last()
          await over.waitFor()
          // Once with the page below, and how that is hidden from a screen reader meanwhile.
          await assertAccessible(page, `${name} (${options.theme ?? 'light'})`, options.theme ? parts.over : parts.whole)
          if (name === 'held') {
            await page.keyboard.press('Escape')
            assert.ok(await over.isVisible(), 'Escape does not end it')
            await over.getByRole('button').click()
          } else if (name.startsWith('secret')) {
            const done = over.getByRole('button', { name: /Done|完成/ })
            assert.ok(await done.isDisabled(), 'a secret is not lost by a stray click')
            await over.getByRole('checkbox').check()
            await done.click()
          } else {
            await page.keyboard.press('Escape')
          }
          await over.waitFor({ state: 'detached' })
        }
      },
      { tolerated, ...options },
    )
  }
})

test('what opens within a part: kept views, columns, a range, a filter, choices found, not found and refused', () =>
  kit.visit(
    '/ops/kit',
    async (page) => {
      await ready(page)
      const over = page.locator('[role=dialog]')
      const opens = [
        [page.getByRole('button', { name: 'Saved views' }).first(), 'As it comes'],
        [page.getByRole('button', { name: 'Columns' }).first(), 'Roomy rows'],
        [page.getByRole('main').getByRole('button', { name: /^Time range/ }), 'Last 90 days'],
        [page.getByRole('button', { name: 'Filter', exact: true }), 'Filter by'],
      ]
      for (const [trigger, text] of opens) {
        await trigger.click()
        await over.getByText(text).waitFor()
        await assertAccessible(page, text, parts.over)
        await page.keyboard.press('Escape')
        await over.waitFor({ state: 'detached' })
      }
      for (const [label, told] of [
        ['Choice of many', 'key 17'],
        ['Choice, refused', 'Nothing found'],
        ['Choice, unreachable', 'Steward cannot be reached'],
      ]) {
        await page.getByRole('combobox', { name: label, exact: true }).click()
        await page.locator('[role=option], p[role]').filter({ hasText: new RegExp(`^\\s*${told}\\s*$`) }).first().waitFor()
        await assertAccessible(page, label)
      }
      // A view that is kept is taken up again, and the one that is shown says so.
      await page.getByRole('button', { name: 'Saved views' }).first().click()
      await over.getByRole('button', { name: 'Roomy, without notes', exact: true }).click()
      await page.waitForURL((url) => url.searchParams.get('density') === 'comfortable')
      await page.getByRole('button', { name: 'Saved views' }).first().click()
      assert.equal(await over.locator('[aria-current=true]').innerText(), 'Roomy, without notes')
    },
    { tolerated },
  ))

test('chips, notices and a chart as a table', () =>
  kit.visit(
    '/ops/kit?kit_model=gpt-4o&kit_ok=false&kit_ms=500&q=typed',
    async (page) => {
      await ready(page)
      await page.getByText('500 ms').waitFor()
      await page.getByRole('button', { name: 'Show as table' }).first().click()
      await page.getByRole('button', { name: 'Warned', exact: true }).click()
      await page.locator('[data-sonner-toast]').filter({ hasText: 'its models are not known' }).waitFor()
      await assertAccessible(page, 'a warning')
      for (const name of ['Done', 'Failed', 'With undo']) await page.getByRole('button', { name, exact: true }).click()
      await page.locator('[data-sonner-toast]').filter({ hasText: 'billing is disabled' }).waitFor()
      await assertAccessible(page, 'chips, notices, a chart as a table')
      // The keyboard gets to them, and what they say they are is in the reader's language.
      const messages = (name) => page.getByRole('region', { name })
      await page.keyboard.press('Alt+t')
      await messages('Messages').locator('[data-button]:focus').filter({ hasText: 'Undo' }).waitFor()
      await messages('Messages').getByRole('button', { name: 'Close' }).first().waitFor()
      await turn(page, { size: 'desktop', theme: 'light', language: 'zh' })
      await messages('消息').getByRole('button', { name: '关闭' }).first().waitFor()
      await turn(page, { size: 'desktop', theme: 'light', language: 'en' })
      await page.getByRole('button', { name: 'Remove Model' }).click()
      await page.waitForURL((url) => !url.searchParams.has('kit_model'))
    },
    { tolerated },
  ))
