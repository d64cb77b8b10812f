// How fast the console is, in a browser on this machine. Measures and tells; nothing passes or fails.
//
//   npm run measure --prefix tests/e2e                       with an empty Steward: the first picture over a slow line
//   npm run measure --prefix tests/e2e -- --data DIR         and with a long log: scrolling it, and every page after a click
//   … -- --data DIR scroll pages                             only these (paint, scroll, pages)
//
// STEWARD_BIN names the program, a release build for figures that mean something; DIR is what `steward-bench seed DIR`
// left (docs/benchmarks.md). Several rounds: the best is what the console needs, the median what a busy machine gives.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'
import { executablePath } from './support/browser.mjs'
import { password, startSteward } from './support/processes.mjs'

const words = process.argv.slice(2)
const at = words.indexOf('--data')
const [, data] = at < 0 ? [] : words.splice(at, 2)
const wants = (section) => words.length === 0 || words.includes(section)

/** 1.6 Mb/s and 150 ms: a phone on a train. */
const slowLine = { offline: false, latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 0.75e6 / 8 }
const rounds = Number(process.env.STEWARD_MEASURE_ROUNDS ?? 5)
const rowsToScroll = 100_000

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--enable-precise-memory-info'],
})
// What `steward-bench seed` started first has its own password.
const secret = data ? 'bench-password' : password
const steward = await startSteward({}, { data, secret })
try {
  if (wants('paint')) await firstPaint()
  if (data && wants('scroll')) await scrolling()
  if (data && wants('pages')) await pages()
} finally {
  await steward.stop()
  await browser.close()
}

async function opened({ signedIn = true } = {}) {
  const context = await browser.newContext({ baseURL: steward.url, viewport: { width: 1440, height: 900 }, locale: 'en-US', timezoneId: 'UTC' })
  context.setDefaultTimeout(120_000)
  if (signedIn) {
    const answer = await context.request.post('/api/v1/auth/login', { data: { username: 'admin', password: secret } })
    assert.equal(answer.status(), 200, await answer.text())
  }
  return context
}

function spread(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const one = (value) => Math.round(value)
  return `best ${one(sorted[0])}, median ${one(sorted[sorted.length >> 1])}, worst ${one(sorted.at(-1))}`
}

/** An empty cache, a slow line: when anything, and when the largest thing, is there to see. */
async function firstPaint() {
  console.log(`\nFirst picture at 1.6 Mb/s and 150 ms, empty cache, ms, ${rounds} rounds (bar: FCP ≤ 1200, TBT ≤ 200, CLS < 0.02)`)
  for (const [name, path, signedIn] of [['sign-in', '/ops/', false], ['overview', '/ops/overview', true]]) {
    const seen = { fcp: [], lcp: [], tbt: [], cls: [], kb: [] }
    for (let round = 0; round < rounds; round++) {
      const context = await opened({ signedIn })
      const page = await context.newPage()
      await page.addInitScript(() => {
        const found = (globalThis.measured = { fcp: 0, lcp: 0, tbt: 0, cls: 0 })
        const watch = (type, each) => new PerformanceObserver((list) => list.getEntries().forEach(each)).observe({ type, buffered: true })
        watch('paint', (entry) => entry.name === 'first-contentful-paint' && (found.fcp = entry.startTime))
        watch('largest-contentful-paint', (entry) => (found.lcp = entry.startTime))
        watch('longtask', (entry) => (found.tbt += Math.max(0, entry.duration - 50)))
        watch('layout-shift', (entry) => entry.hadRecentInput || (found.cls += entry.value))
      })
      const devtools = await context.newCDPSession(page)
      let bytes = 0
      devtools.on('Network.loadingFinished', (event) => (bytes += event.encodedDataLength))
      await devtools.send('Network.enable')
      await devtools.send('Network.emulateNetworkConditions', slowLine)
      await page.goto(path, { waitUntil: 'load' })
      await page.locator('h1').waitFor()
      await page.locator('[data-waiting]').first().waitFor({ state: 'detached' })
      const found = await page.evaluate(settled)
      for (const key of ['fcp', 'lcp', 'tbt']) seen[key].push(found[key])
      seen.cls.push(found.cls * 1000)
      seen.kb.push(bytes / 1000)
      await context.close()
    }
    console.log(`${name}: FCP ${spread(seen.fcp)}; LCP ${spread(seen.lcp)}; TBT ${spread(seen.tbt)}; CLS ${spread(seen.cls)} ‰; ${Math.round(Math.max(...seen.kb))} kB`)
  }
}

/** In the page: what was measured, once nothing larger has been painted for two seconds. */
async function settled() {
  const found = globalThis.measured
  while (performance.now() < Math.max(found.lcp, found.fcp) + 2_000) await new Promise((wake) => setTimeout(wake, 100))
  return found
}

/** Through a hundred thousand rows, a screenful with every frame; and as a hand does with a wheel. */
async function scrolling() {
  const context = await opened()
  const page = await context.newPage()
  await page.goto('/ops/requests?range=90d')
  await page.locator('[role=row][data-index]').first().waitFor()
  const devtools = await context.newCDPSession(page)
  await devtools.send('Performance.enable')
  const heapMib = async () => {
    await devtools.send('HeapProfiler.collectGarbage')
    const { metrics } = await devtools.send('Performance.getMetrics')
    return metrics.find(({ name }) => name === 'JSHeapUsedSize').value / 2 ** 20
  }
  console.log(`\nScrolling ${rowsToScroll.toLocaleString('en')} rows of the Requests page (bar: 60 frames/s, rows not all held)`)
  const idle = await page.evaluate(frames, { pixelsPerFrame: 0, until: 0, forMs: 5_000 })
  console.log(`standing still: ${told(idle)}`)
  const before = await heapMib()
  const wheel = await page.evaluate(frames, { pixelsPerFrame: 100, until: rowsToScroll, forMs: 10_000 })
  console.log(`a fast wheel, 100 px a frame: ${told(wheel)}`)
  // Anew, so that nothing is there already: half a screenful with every frame is 24,000 px a second.
  const most = [wheel.most]
  for (const [pixelsPerFrame, name] of [[400, 'half a screenful'], [800, 'a screenful']]) {
    await page.reload()
    await page.locator('[role=row][data-index]').first().waitFor()
    const whole = await page.evaluate(frames, { pixelsPerFrame, until: rowsToScroll, forMs: 600_000 })
    console.log(`${name} a frame, to row ${whole.last.toLocaleString('en')} in ${Math.round(whole.ms / 1000)} s: ${told(whole)}`)
    most.push(whole.most)
  }
  const bound = await page.evaluate(() => document.querySelectorAll('*').length)
  console.log(`rows in the page at most ${Math.max(...most)}, ${bound} elements in all; heap ${before.toFixed(1)} MiB before, ${(await heapMib()).toFixed(1)} MiB after`)
  await context.close()

  function told({ frames: count, ms, p95, worst, late }) {
    return `${((count * 1000) / ms).toFixed(1)} frames/s, 95 % within ${p95.toFixed(1)} ms, longest ${worst.toFixed(0)} ms, ${late} of ${count} late`
  }
}

/** In the page: scrolls by so much with every frame; a frame is late when another should have been shown before it. */
async function frames({ pixelsPerFrame, until, forMs }) {
  const box = document.querySelector('[role=grid]')
  const gaps = []
  let most = 0
  let last = 0
  const begun = performance.now()
  let before = await new Promise(requestAnimationFrame)
  while (performance.now() - begun < forMs && (until === 0 || last < until)) {
    const now = await new Promise(requestAnimationFrame)
    gaps.push(now - before)
    before = now
    if (pixelsPerFrame > 0) box.scrollTop += pixelsPerFrame
    const rows = box.querySelectorAll('[data-index]')
    most = Math.max(most, rows.length)
    // While one scrolls they stand in no order.
    for (const row of rows) last = Math.max(last, Number(row.dataset.index))
  }
  const sorted = [...gaps].sort((a, b) => a - b)
  return {
    frames: gaps.length,
    ms: performance.now() - begun,
    p95: sorted[Math.floor(sorted.length * 0.95)],
    worst: sorted.at(-1),
    late: gaps.filter((gap) => gap > 25).length,
    most,
    last,
  }
}

/** From a click in the navigation to the painted page, its code not loaded before: heading, and nothing left that waits. */
async function pages() {
  for (const range of ['24h', '90d']) {
    console.log(`\nFrom a click to the painted page, ms, range ${range}, ${rounds} rounds (bar: first content ≤ 300)`)
    const seen = new Map()
    for (let round = 0; round < rounds; round++) {
      const context = await opened()
      const page = await context.newPage()
      await page.goto(`/ops/nowhere?range=${range}`)
      await page.evaluate((range) => sessionStorage.setItem('steward.range', JSON.stringify({ range })), range)
      await page.reload()
      const links = page.locator('nav a')
      await links.first().waitFor()
      await page.waitForLoadState('networkidle')
      const paths = await links.evaluateAll((nodes) => nodes.map((node) => node.getAttribute('href')))
      for (const path of paths) {
        const took = await page.evaluate(arrival, path)
        const known = seen.get(path) ?? { heading: [], content: [], whole: [] }
        for (const key of Object.keys(known)) known[key].push(took[key])
        seen.set(path, known)
        await page.waitForLoadState('networkidle')
      }
      await context.close()
    }
    for (const [path, { heading, content, whole }] of seen) {
      console.log(`${path}: heading ${spread(heading)}; first content ${spread(content)}; nothing waits any more ${spread(whole)}`)
    }
  }
}

/** In the page: clicks, then looks with every frame; what is true in one frame is painted by the next. */
async function arrival(path) {
  const main = document.querySelector('main')
  const old = main.querySelector('h1, h2, p')
  const begun = performance.now()
  document.querySelector(`nav a[href="${path}"]`).click()
  const found = {}
  while (performance.now() - begun < 60_000 && found.whole === undefined) {
    await new Promise(requestAnimationFrame)
    const title = main.querySelector('h1')
    if (!title || title === old) continue
    const painted = await new Promise(requestAnimationFrame)
    found.heading ??= painted - begun
    const waiting = main.querySelector('[data-waiting]') !== null
    const content = main.querySelector('[role=row][data-index], [role=treegrid] tbody [role=row], dl, p.num.text-xl:not(:has([data-waiting]))')
    if (!waiting || content) found.content ??= painted - begun
    if (!waiting) found.whole = painted - begun
  }
  return found
}
