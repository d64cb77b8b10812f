// Knowledge that is found by what it means: pairs are embedded by an account, what is refused is told, and a question finds
// its pair.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, Console } from '../support/console.mjs'

const model = 'text-embedding-3-small+words+strict'
const pairs = '/api/v1/ops/knowledge/qa-pairs'
const button = (scope, name) => scope.getByRole('button', { name, exact: true })
const dialog = (page, name) => page.getByRole('dialog', { name })
const row = (page, text) => page.locator('[role=row][data-index]', { hasText: text })

let ui
let tenants
before(async () => {
  ui = await Console.start({ env: { STEWARD__RAG__EMBEDDING_MODEL: model, STEWARD__SCHEDULER__AUTO_SYNC_ENABLED: 'false' } })
  const account = { name: 'embeds', provider: 'openai', protocol: 'openai', base_url: `${ui.provider.url}/v1`, api_key: 'sk-embeds-0123456789', models: ['*'] }
  await ui.api('POST', '/api/v1/accounts', account)
  tenants = []
  for (const name of ['Kimono One', '和服店 A']) tenants.push((await ui.api('POST', '/api/v1/ops/tenants', { name })).id)
  const add = (tenant_id, question, answer) => ui.api('POST', pairs, { tenant_id, question, answer })
  await add(tenants[0], 'How do I book a fitting?', 'Call us.')
  await add(tenants[0], '租借价格是多少？', '三千円起。')
  await add(tenants[1], 'a forbidden question', 'No.')
})
after(() => ui?.stop())

test('pairs are synced when that is wanted; what is refused is told, and leads to its pair', async () => {
  await ui.visit('/ops/knowledge', async (page) => {
    await row(page, 'How do I book').getByText('Not yet').waitFor()
    await button(page, 'Sync').click()
    const it = dialog(page, 'Vectors')
    await it.getByRole('meter', { name: '0 of 3 pairs have a vector' }).waitFor()
    await it.getByText('no, only when asked').waitFor()
    await button(it, 'Sync now').click()
    await it.getByRole('meter', { name: '2 of 3 pairs have a vector' }).waitFor()
    await it.getByText('the provider answered 400').waitFor()
    await assertAccessible(page, 'how the vectors stand')
    await button(it, 'a forbidden question').click()
    const pair = dialog(page, 'a forbidden question')
    await button(pair, 'Edit').waitFor()
    await page.keyboard.press('Escape')
    await pair.waitFor({ state: 'detached' })
  })
  await ui.visit('/ops/knowledge?is_synced=true', async (page) => {
    await row(page, 'How do I book').getByText('Synced').waitFor()
    assert.equal(await page.locator('[role=row][data-index]').count(), 2)
    await page.getByText('synced: 2').waitFor()
  })
})

test('those that are ticked are synced and no others, and it is told what came of each', async () => {
  await ui.api('POST', pairs, { tenant_id: tenants[1], question: 'Is there a locker?', answer: 'Yes.' })
  await ui.api('POST', pairs, { tenant_id: tenants[1], question: 'Is there a toilet?', answer: 'Yes.' })
  await ui.visit('/ops/knowledge', async (page) => {
    await page.getByRole('checkbox', { name: 'Choose “Is there a locker?”' }).check()
    await page.getByRole('checkbox', { name: 'Choose “a forbidden question”' }).check()
    await button(page.getByRole('region', { name: '2 chosen' }), 'Sync').click()
    const form = dialog(page, 'Sync 2 pairs')
    await assertAccessible(page, 'many to be synced')
    await button(form, 'Sync').click()
    await form.getByText('synced: 1 · needed nothing: 0 · failed: 1').waitFor()
    await form.getByRole('list', { name: 'Why some failed' }).getByText('the provider answered 400').waitFor()
    await assertAccessible(page, 'what came of many')
    await button(form, 'Close').last().click()
    await row(page, 'Is there a locker').getByText('Synced').waitFor()
    await row(page, 'Is there a toilet').getByText('Not yet').waitFor()
  })
  const chinese = async (page) => {
    await page.getByRole('checkbox', { name: '选择“Is there a locker?”' }).check()
    await button(page.getByRole('region', { name: '已选 1 条' }), '同步').click()
    const form = dialog(page, '同步 1 条问答')
    await button(form, '同步').click()
    await form.getByText('已同步 0 · 无需同步 1 · 失败 0').waitFor()
    await assertAccessible(page, '批量同步的结果')
  }
  await ui.visit('/ops/knowledge?tenant_id=' + tenants[1], chinese, { language: 'zh' })
})

test('a question finds its pair, in both languages and by tenant', async () => {
  await ui.visit('/ops/knowledge', async (page) => {
    await button(page, 'Ask').click()
    const it = dialog(page, 'Ask the knowledge')
    await it.locator('[name=query]').fill('can I book a fitting')
    await assertAccessible(page, 'a question to the knowledge')
    await it.locator('[name=query]').press('Enter')
    await it.getByText('Call us.').waitFor()
    assert.equal(await it.locator('li').count(), 1)
    await assertAccessible(page, 'what a question found')
    await it.locator('[name=tenant]').selectOption({ label: '和服店 A' })
    await button(it, 'Ask').click()
    await it.getByText('Nothing is near enough').waitFor()
  })
  const chinese = async (page) => {
    await button(page, '提问').click()
    const it = dialog(page, '向知识库提问')
    await it.locator('[name=query]').fill('请问价格是多少')
    await button(it, '提问').click()
    await it.getByText('三千円起。').waitFor()
    await assertAccessible(page, '提问的结果')
    await button(it, '租借价格是多少？').click()
    await button(dialog(page, '租借价格是多少？'), '编辑').waitFor()
  }
  await ui.visit('/ops/knowledge', chinese, { language: 'zh', size: 'phone' })
})

test('who writes a pair is told of one that asks nearly the same, and may make them one or save both', async () => {
  await ui.visit('/ops/knowledge', async (page) => {
    await button(page, 'New pair').first().click()
    const form = dialog(page, 'New pair')
    await form.locator('[name=tenant_id]').selectOption({ label: 'Kimono One' })
    await form.locator('[name=question]').fill('How do I book a fitting now?')
    await form.locator('[name=answer]').fill('Write to us.')
    await button(form, 'Create').click()
    await form.getByText('One pair asks nearly the same:').waitFor()
    await assertAccessible(page, 'a pair that asks nearly the same')
    await button(form, 'Merge with “How do I book a fitting?”').click()
    await button(dialog(page, 'Make it one pair'), 'Merge').click()
    await form.waitFor({ state: 'detached' })
    await row(page, 'Write to us.').waitFor()
  })
  const { items } = await ui.api('GET', `${pairs}?keyword=fitting`)
  assert.deepEqual(items.map((one) => [one.question, one.answer]), [['How do I book a fitting?', 'Call us.\n\nWrite to us.']])
  const chinese = async (page) => {
    await row(page, 'Is there a toilet').click()
    await button(dialog(page, 'Is there a toilet?'), '编辑').click()
    const form = dialog(page, '编辑问答')
    await form.locator('[name=question]').fill('Is there a locker here?')
    await button(form, '保存').click()
    await form.getByText('有 1 条问答的问题相近：').waitFor()
    await assertAccessible(page, '相近的问题')
    await form.locator('[name=near_seen]').check()
    await button(form, '保存').click()
    await form.waitFor({ state: 'detached' })
  }
  await ui.visit('/ops/knowledge', chinese, { language: 'zh', size: 'phone' })
  const both = await ui.api('GET', `${pairs}?keyword=locker`)
  assert.equal(both.items.length, 2)
})

test('a model that cannot be asked is told, and the pairs only wait', async () => {
  const { items } = await ui.api('GET', '/api/v1/accounts')
  await ui.api('PATCH', `/api/v1/accounts/${items[0].id}`, { base_url: 'http://127.0.0.1:9', api_key: 'sk-embeds-0123456789' })
  await ui.api('POST', pairs, { tenant_id: tenants[0], question: 'Where are you?', answer: 'Here.' })
  await ui.visit(
    '/ops/knowledge',
    async (page) => {
      await button(page, '同步').click()
      const it = dialog(page, '向量')
      await button(it, '立即同步').click()
      await it.getByText(`无法调用 ${model}`).waitFor()
      await assertAccessible(page, '无法调用模型')
      await page.keyboard.press('Escape')
      await it.waitFor({ state: 'detached' })
      // It keeps nobody from saving.
      await button(page, '新建问答').first().click()
      const form = dialog(page, '新建问答')
      await form.locator('[name=tenant_id]').selectOption({ label: 'Kimono One' })
      await form.locator('[name=question]').fill('可以改期吗？')
      await form.locator('[name=answer]').fill('可以。')
      await button(form, '新建').click()
      await page.getByText('已保存；未能查找相近的问题').waitFor()
    },
    { language: 'zh' },
  )
})
