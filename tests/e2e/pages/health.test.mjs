// Health: every component is shown, one opens with its looks, and caches are cleared by who may.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, assertNoSidewaysScrolling, Console } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

test('health: components, one of them, caches', () =>
  ui.visit('/ops/health', async (page) => {
    const databases = page.getByRole('listitem').filter({ hasText: 'Databases' })
    await databases.getByText('Healthy').waitFor()
    await page.getByText('Free disk').waitFor()
    await assertAccessible(page, 'health')
    await databases.getByRole('link', { name: 'Databases' }).click()
    await page.waitForURL('**/health/database')
    await page.getByRole('dialog').getByText('Latest looks').waitFor()
    await assertAccessible(page, 'a component')
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Clear caches' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Clear caches' }).click()
    await page.getByText('The caches were filled again').waitFor()
  }))

test('health on a phone, in Chinese', () =>
  ui.visit(
    '/ops/health',
    async (page) => {
      await page.getByText('JWT 签发').waitFor()
      await assertAccessible(page, 'health, phone')
      await assertNoSidewaysScrolling(page, 'health, phone')
    },
    { size: 'phone', language: 'zh', theme: 'dark' },
  ))

test('the scheduler is restarted when that is confirmed, and only then is it on the record', async () => {
  const audited = async () => {
    const { items } = await ui.api('GET', '/api/v1/ops/logs/operations?limit=200')
    return items.filter(({ action }) => action === 'system.restart_scheduler').map(({ details }) => details.outcome)
  }
  await ui.visit('/ops/health', async (page) => {
    const open = () => page.getByRole('button', { name: 'Restart scheduler' }).click()
    await open()
    const asked = page.getByRole('dialog')
    await asked.getByRole('button', { name: 'Cancel' }).click()
    await asked.waitFor({ state: 'detached' })
    assert.deepEqual(await audited(), [])
    await open()
    await asked.getByRole('button', { name: 'Restart scheduler' }).click()
    await page.getByText('The scheduler was restarted').waitFor()
    assert.deepEqual(await audited(), ['restarted', 'ordered'])
  })
})
