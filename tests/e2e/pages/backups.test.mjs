// Backups: a folder is chosen, a backup made and restored somewhere; a remote on this machine is set, tested, pushed to and
// compared with.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
let remote
const folder = mkdtempSync(join(tmpdir(), 'backups-'))
before(async () => {
  remote = createServer((request, answer) => {
    request.resume()
    request.on('end', () => {
      if (request.headers.apikey !== 'sb_secret_canary') {
        answer.writeHead(401, { 'content-type': 'application/json' })
        return answer.end(
          JSON.stringify({
            message: 'Invalid API key',
            hint: 'Double check it.',
          }),
        )
      }
      answer.writeHead(request.method === 'POST' ? 201 : 200, {
        'content-type': 'application/json',
      })
      answer.end(request.method === 'GET' ? '[]' : '')
    })
  })
  await new Promise((done) => remote.listen(0, '127.0.0.1', done))
  ui = await Console.start({ env: { STEWARD__EGRESS__ALLOW_PRIVATE: 'true' } })
})
after(async () => {
  await ui?.stop()
  remote?.close()
  rmSync(folder, { recursive: true, force: true })
})

test('databases: a place is chosen, the first backup is made and restored, another one is asked for', () =>
  ui.visit(
    '/ops/backups',
    async (page) => {
      await page.getByText('Nobody has said where backups go').waitFor()
      await assertAccessible(page, 'backups, none')
      await page.getByRole('button', { name: 'Choose a place' }).click()
      await page.getByLabel('Folder', { exact: true }).fill('relative')
      await assertAccessible(page, 'backup form')
      await page.getByRole('button', { name: 'Save', exact: true }).click()
      await page.getByText('must begin with / and hold no ..').waitFor()
      await page.getByLabel('Folder', { exact: true }).fill(folder)
      await page.getByRole('button', { name: 'Save', exact: true }).click()
      await page.getByText(folder, { exact: true }).first().waitFor()
      await page.getByRole('button', { name: 'Test', exact: true }).click()
      await page
        .getByText(/^Works \(/)
        .first()
        .waitFor()
      await page.getByRole('button', { name: 'Back up now' }).click()
      const row = page.getByRole('row').filter({ hasText: 'steward-' })
      await row.filter({ hasText: 'Restored whole' }).first().waitFor({ timeout: 60_000 })
      await page.getByRole('button', { name: 'Restore somewhere and compare' }).click()
      await page
        .getByText(/^Succeeded|succeeded/i)
        .first()
        .waitFor({ timeout: 60_000 })
      await assertAccessible(page, 'backups')
    },
    {
      tolerated: [/422 \(Unprocessable Entity\) .*\/api\/v1\/ops\/backups\/plan/],
    },
  ))

test('statistics elsewhere: set with a wrong key, told so, mended, pushed, compared', () =>
  ui.visit(
    '/ops/backups?tab=remote',
    async (page) => {
      await page.getByText('create table if not exists dashboard_stats').waitFor()
      await assertAccessible(page, 'remote, none')
      await page.getByRole('button', { name: 'Choose a remote' }).click()
      await page.getByLabel('Address').fill(`http://127.0.0.1:${remote.address().port}`)
      await page.getByLabel('Service key').fill('wrong')
      await assertAccessible(page, 'remote form')
      await page.getByRole('button', { name: 'Save', exact: true }).click()
      await page.getByRole('button', { name: 'Test', exact: true }).click()
      await page.getByText('answered 401: Invalid API key; Double check it.').first().waitFor()
      await page.getByRole('button', { name: 'Edit', exact: true }).click()
      await page.getByLabel('Service key').fill('sb_secret_canary')
      await page.getByRole('button', { name: 'Save', exact: true }).click()
      await page.getByRole('dialog').waitFor({ state: 'detached' })
      await page.getByRole('button', { name: 'Test', exact: true }).click()
      await page
        .getByText(/^Works \(/)
        .first()
        .waitFor()
      await page.getByRole('button', { name: 'Push now' }).click()
      await page.getByRole('button', { name: 'Compare' }).click()
      await page.getByText(/Nothing to compare yet|Here and there differ/).waitFor()
      await assertAccessible(page, 'remote')
      assert.ok(!(await page.content()).includes('canary'))
    },
    {
      // Steward may be pushing by itself since the remote was saved.
      tolerated: [/409 \(Conflict\) .*\/api\/v1\/ops\/backups\/remote\/push/],
    },
  ))
