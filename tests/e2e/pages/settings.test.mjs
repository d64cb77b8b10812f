// Settings: changed, refused, saved, taken back.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

let ui
before(async () => (ui = await Console.start()))
after(() => ui?.stop())

test('settings: a rate is refused, saved and taken back', () =>
  ui.visit('/ops/settings', async (page) => {
    const rate = page.getByLabel('Yuan for a US dollar', { exact: true })
    await rate.waitFor()
    assert.equal(await rate.inputValue(), '7.10')
    await assertAccessible(page, 'settings')
    assert.equal(await page.getByRole('button', { name: 'Save changes' }).count(), 0)

    await rate.fill('0')
    await page.getByText('One change is not saved').waitFor()
    await page.getByRole('button', { name: 'Save changes' }).click()
    await page.getByRole('alert').getByText(/must be a decimal number/).waitFor()
    await assertAccessible(page, 'a refused setting')

    await rate.fill('6.95')
    await page.getByLabel('Currency', { exact: true }).selectOption('CNY')
    await page.getByRole('button', { name: 'Save changes' }).click()
    await page.getByText('The settings are saved and in force').waitFor()
    await page.reload()
    await rate.waitFor()
    assert.equal(await rate.inputValue(), '6.95')

    await page.getByRole('button', { name: 'Back to the default: Yuan for a US dollar' }).click()
    assert.equal(await rate.inputValue(), '7.10')
    await page.getByRole('button', { name: 'Discard' }).click()
    assert.equal(await rate.inputValue(), '6.95')
    await page.getByRole('button', { name: 'Back to the default: Yuan for a US dollar' }).click()
    await page.getByRole('button', { name: 'Back to the default: Currency' }).click()
    await page.getByRole('button', { name: 'Save changes' }).click()
    await page.getByText('The settings are saved and in force').waitFor()
    await page.getByRole('button', { name: 'Save changes' }).waitFor({ state: 'detached' })
  }, { tolerated: [/422 \(Unprocessable Entity\) .*\/api\/v1\/settings/] }))

test('settings: a whole card goes back to its defaults at once', async () => {
  const saved = async () => {
    const { items } = await ui.api('GET', '/api/v1/settings')
    const of = (key) => items.find((one) => one.key === key)
    return ['scheduler.sync_interval', 'scheduler.process_interval'].map((key) => [of(key).value, of(key).default])
  }
  await ui.visit('/ops/settings', async (page) => {
    for (const [key, value] of [['scheduler.sync_interval', '900'], ['scheduler.process_interval', '120']]) {
      await page.locator(`[name="${key}"]`).fill(value)
    }
    await page.getByRole('button', { name: 'Save changes' }).click()
    await page.getByText('The settings are saved and in force').waitFor()
    assert.deepEqual((await saved()).map(([value]) => value), ['900', '120'])
    await page.getByRole('button', { name: 'All to the default: Learning' }).click()
    await page.getByText('2 changes are not saved').waitFor()
    await assertAccessible(page, 'settings, a card to be reset')
    await page.getByRole('button', { name: 'Save changes' }).click()
    await page.getByRole('button', { name: 'Save changes' }).waitFor({ state: 'detached' })
    for (const [value, byDefault] of await saved()) assert.equal(value, byDefault)
    await page.getByRole('link', { name: 'Restart the scheduler, clear the cache' }).click()
    await page.waitForURL('**/health')
  })
})
