// The pages the navigation leads to, and what there can be on them.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { looks, parts, password, turn } from './console.mjs'

export const noun = (path) => path.split('/').at(-1)

/** What axe examines of a page: what stands around all of them on one of them, and in the tests of the shell. */
export const examinedOf = (path) => (path.endsWith('/overview') ? parts.whole : parts.withoutFrame)

/** What a button does that changes something, by its first word. “Remove Model” takes a filter away. */
const writes =
  /^(Acknowledge|Activate|Add|Back up|Cancel|Check|Clear caches|Create|Delete|Disable|Discard|Drain|Edit|Enable|Import|Issue|New|Price|Recalculate|Redo|Remove$|Rename|Replay|Reset|Resolve|Restart|Restore|Revoke|Roll|Rotate|Run|Save|Send|Set|Silence|Suspend|Turn|Upload)\b/

/** What of it is offered now, on the page and in what is open over it. */
export async function changesOffered(page) {
  const buttons = page.locator('main button, [role=dialog] button, [role=dialog] [role=switch], main [role=switch]').filter({ visible: true })
  const names = await buttons.evaluateAll((all) => all.map((one) => (one.innerText || one.ariaLabel || '').trim()))
  return names.filter((name) => writes.test(name))
}

/** The first row that opens a record, of a list or of the tree of actors. */
export const firstRow = (page) => page.locator('main [role=row][data-index], main [role=treegrid] tbody [role=row]').first()

/** Calls `look(page, path)` on each page, going there as people do. */
export async function onEveryPage(ui, options, look) {
  const [first] = looks.filter(({ size }) => size === (options.size ?? 'desktop'))
  await ui.visit(
    '/ops/nowhere',
    async (page) => {
      await page.locator('main').getByText(/./).first().waitFor()
      // On a phone it is there and folded away.
      await page.locator('nav a').first().waitFor({ state: 'attached' })
      const paths = await page.locator('nav a').evaluateAll((links) => links.map((link) => link.getAttribute('href')))
      assert.ok(paths.length >= 9, `pages in the navigation: ${paths}`)
      if (options.prepare) await options.prepare(page)
      for (const path of paths) {
        await page.evaluate((to) => document.querySelector(`nav a[href="${to}"]`).click(), path)
        await page.waitForURL(`**${path}**`)
        await page.locator('main h1').waitFor()
        await look(page, path)
        await turn(page, first)
      }
    },
    { ...options, ...first },
  )
}

/** Something for every page. */
export async function fill(ui) {
  const account = { name: 'upstream', provider: 'fake', protocol: 'openai', base_url: `${ui.provider.url}/v1`, api_key: 'sk-upstream', models: ['*'] }
  await ui.api('POST', '/api/v1/accounts', account)
  await ui.api('POST', '/api/v1/accounts', { ...account, name: 'unused', models: ['nothing'] })
  const { token } = await ui.api('POST', '/api/v1/tokens', { name: 'billing', rpm: 100_000, enable_conversation_logging: true })
  await ui.api('POST', '/api/v1/tokens', { name: 'reports' })
  const { id: token_id } = await ui.api('POST', '/api/v1/tokens', { name: 'web users' })
  const issuer = { name: 'shop', kind: 'own', issuer: 'steward', audience: 'steward-gateway', token_id }
  const { id: issuer_id } = await ui.api('POST', '/api/v1/jwt-issuers', issuer)
  await ui.api('POST', '/api/v1/jwt-tests', { issuer_id, count: 20, concurrency: 4 })
  const report = await ui.api('POST', '/api/v1/reports', { name: 'models', group_by: 'model', schedule: { every: 'week', at: '08:00', weekday: 1 } })
  await ui.api('POST', `/api/v1/reports/${report.id}/run`, {})
  await ui.api('POST', '/api/v1/ops/users', { username: 'looker', role: 'ops_viewer', password })
  await ui.api('POST', '/api/v1/ops/roles', { name: 'support', permissions: ['read:requests'] }).catch(() => {})
  await ui.api('POST', '/api/v1/prompts', { name: 'support/first-answer', content: 'You help at {{shop}}.' })
  const { id: tenant_id } = await ui.api('POST', '/api/v1/ops/tenants', { name: 'Kimono One' })
  await ui.api('POST', '/api/v1/ops/users', { username: 'keeper', role: 'tenant_admin', tenant_id, password })
  await ui.api('POST', '/api/v1/ops/knowledge/qa-pairs', { tenant_id, question: 'How do I book?', answer: 'Call us.' })
  await ui.api('POST', '/api/v1/ops/templates', { question: '租借价格是多少？', answer: '三千円起。', category: '价格' })
  let last
  for (const model of ['gpt-4o', 'gpt-4o-mini', 'gpt-4o+status=500', 'o3']) {
    for (const stream of [false, true]) {
      const answer = await fetch(`${ui.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'Hello' }] }),
      })
      await answer.text()
      last = answer.headers.get('x-request-id')
    }
  }
  const given = await fetch(`${ui.url}/api/v1/feedback`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ request_id: last, rating: 2, category: 'wrong', comment: 'That is not what I asked.' }),
  })
  assert.equal(given.status, 201, await given.text())
  const deadline = Date.now() + 20_000
  const held = async (path) => (await ui.api('GET', `${path}?limit=20`)).items.length
  while ((await held('/api/v1/logs/requests')) < 8) assert.ok(Date.now() < deadline, 'the calls are on the books')
  while ((await held('/api/v1/conversations')) < 6) assert.ok(Date.now() < deadline, 'what was said is kept')
}

/** What `fillWatching` needs of the Steward it fills: rules looked at soon, not every minute, and receivers on this machine. */
export const watching = { STEWARD__ALERTS__INTERVAL_MS: '300', STEWARD__EGRESS__ALLOW_PRIVATE: 'true' }

/** Something for the pages that watch: a rule that fires and one that does not, an incident that is over, a silence, channels that work and do not, backups in `folder`. */
export async function fillWatching(ui, folder) {
  const alerts = '/api/v1/ops/alerts'
  const deadline = Date.now() + 60_000
  const until = async (what, holds) => {
    while (!(await holds())) {
      assert.ok(Date.now() < deadline, what)
      await new Promise((wake) => setTimeout(wake, 100))
    }
  }
  await ui.api('POST', `${alerts}/channels`, { name: 'on call', kind: 'email', to: ['ada@example.com', 'ben@example.com'] })
  const { id: hook } = await ui.api('POST', `${alerts}/channels`, { name: '值班群', kind: 'webhook', url: `${ui.provider.url}/nowhere` })
  await ui.api('POST', `${alerts}/channels/${hook}/test`)
  const rule = { condition: 'spool_depth >= 0', window: '1m', for: '0s', keep_firing_for: '0s', severity: 'critical', enabled: true }
  const { id: over } = await ui.api('POST', `${alerts}/rules`, { ...rule, name: 'already over', severity: 'info' })
  const fired = async (id) => (await ui.api('GET', `${alerts}/history?rule_id=${id}`)).items[0]
  await until('a rule fires', () => fired(over))
  await ui.api('DELETE', `${alerts}/rules/${over}`)
  const { id } = await ui.api('POST', `${alerts}/rules`, { ...rule, name: 'spool has lines', channels: [hook] })
  await until('another one fires', () => fired(id))
  await ui.api('POST', `${alerts}/${(await fired(id)).id}/acknowledge`)
  const to = new Date(Date.now() + 3_600_000).toISOString()
  await ui.api('POST', `${alerts}/silences`, { matchers: ['severity=warning', 'model=gpt-4o'], to, reason: 'moving house' })
  await ui.api('PUT', '/api/v1/ops/backups/plan', { kind: 'folder', path: join(folder, 'backups'), enabled: true, interval_s: 86_400, keep_last: 3, drill: true })
  await ui.api('POST', '/api/v1/ops/backups', {})
  await until('a backup is proven', async () => (await ui.api('GET', '/api/v1/ops/backups')).items[0]?.drill_works)
  await ui.api('PUT', '/api/v1/ops/backups/remote', { kind: 'postgrest', url: `${ui.provider.url}/nowhere`, key: 'sb_secret', table: 'dashboard_stats', interval_s: 3_600, keep_days: 30, enabled: true })
}
