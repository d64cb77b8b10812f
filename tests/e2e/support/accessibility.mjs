// WCAG 2.2 A and AA by axe-core, inside the page; violations as sentences a person can act on.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const tags = ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']

/**
 * What axe calls the context: what it examines of a document. Menu and top bar stand around every page and are as much work
 * as many a page; what lies over a page is examined without what it covers.
 */
export const parts = {
  whole: null,
  withoutFrame: { exclude: ['#menu', '#menu + div > header'] },
  over: { include: ['[role=dialog]', '[role=menu]'] },
}

/** Fails when axe finds a violation. `where` stands in front of the message. */
export async function assertAccessible(page, where = page.url(), part = parts.whole) {
  // Evaluated from outside, so the page's content policy holds for the page alone.
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(source)
  const { violations } = await page.evaluate(
    ([context, values]) => globalThis.axe.run(context ?? document, { runOnly: { type: 'tag', values }, resultTypes: ['violations'] }),
    [part, tags],
  )
  const told = violations.map(({ id, impact, help, helpUrl, nodes }) => {
    const places = nodes.slice(0, 5).map(({ target, html, failureSummary }) => {
      const why = failureSummary.split('\n').slice(1).join(';').trim()
      return `    ${target.join(' ')}\n      ${html.slice(0, 160)}\n      ${why}`
    })
    const more = nodes.length > 5 ? [`    and ${nodes.length - 5} more`] : []
    return [`  ${id} (${impact}): ${help}\n    ${helpUrl}`, ...places, ...more].join('\n')
  })
  assert.equal(told.length, 0, `${where}: ${told.length} accessibility violations\n${told.join('\n')}`)
}
