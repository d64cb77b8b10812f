// Retention: what is kept is shown, a pass is made when one asks, the archive says what it holds.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { assertAccessible, assertNoSidewaysScrolling, Console } from '../support/console.mjs'

let ui
const folder = mkdtempSync(join(tmpdir(), 'archive-'))
before(async () => (ui = await Console.start()))
after(async () => {
  await ui?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('retention: shown, and run now', () =>
  ui.visit('/ops/retention', async (page) => {
    const grid = page.getByRole('grid', { name: 'Retention' })
    await grid.getByText('Calls', { exact: true }).waitFor()
    await grid.getByText('30 days').waitFor()
    await page.getByText('No month is archived.').waitFor()
    await assertAccessible(page, 'retention')
    await page.getByRole('button', { name: 'Run now' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Run now' }).click()
    await page.getByText('The pass is queued').waitFor()
    await page.getByText(/Held a writer for/).waitFor()
    await page.getByRole('button', { name: 'Archive now' }).click()
    await page.getByText('Archiving is queued').waitFor()
  }))

test('retention: days are a setting, with for ever in it', () =>
  ui.visit(
    '/ops/settings',
    async (page) => {
      const days = page.getByLabel('Calls', { exact: true })
      await days.fill('7')
      await page.getByRole('button', { name: 'Save changes' }).click()
      await page
        .getByRole('alert')
        .getByText(/must be 0 \(for ever\)/)
        .waitFor()
      await days.fill('400')
      await page.getByRole('button', { name: 'Save changes' }).click()
      await page.getByText('The settings are saved and in force').waitFor()
      await page.goto('/ops/retention')
      await page.getByText('400 days').waitFor()
    },
    { tolerated: [/422 \(Unprocessable Entity\) .*\/api\/v1\/settings/] },
  ))

test('retention on a phone, in Chinese', () =>
  ui.visit(
    '/ops/retention',
    async (page) => {
      await page.getByRole('main').getByText('系统日志').first().waitFor()
      await assertAccessible(page, 'retention, phone')
      await assertNoSidewaysScrolling(page, 'retention, phone')
    },
    { size: 'phone', language: 'zh', theme: 'dark' },
  ))

test('retention: months go elsewhere, the place is tried, and looked through', () =>
  ui.visit(
    '/ops/retention',
    async (page) => {
      await page.getByRole('button', { name: 'Change the place' }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByLabel('Kind').selectOption({ label: 'Bucket (S3)' })
      await dialog.getByLabel('Address').fill('http://169.254.169.254')
      await dialog.getByLabel('Bucket', { exact: true }).fill('b')
      await dialog.getByRole('button', { name: 'Save' }).click()
      await dialog
        .getByText(/metadata address/)
        .first()
        .waitFor()
      await assertAccessible(page, 'where archived months go')
      await dialog.getByLabel('Kind').selectOption({ label: 'Another folder' })
      await dialog.getByLabel('Folder', { exact: true }).fill(folder)
      await dialog.getByRole('button', { name: 'Save' }).click()
      await page.getByText('New months go there').waitFor()
      await page.getByText(folder, { exact: true }).waitFor()
      await page.getByRole('button', { name: 'Test the place' }).click()
      await page.getByText(/A file was put there, read and removed/).waitFor()
      await page.getByRole('button', { name: 'Look for months' }).click()
      await page.getByText('Months are being looked for').waitFor()
      // And back to the directory.
      await page.getByRole('button', { name: 'Change the place' }).click()
      await dialog.getByLabel('Kind').selectOption({ label: 'The directory of the configuration' })
      await dialog.getByRole('button', { name: 'Save' }).click()
      await page.getByText(folder, { exact: true }).waitFor({ state: 'detached' })
    },
    { tolerated: [/422 \(Unprocessable Entity\) .*\/api\/v1\/archives\/place/] },
  ))
