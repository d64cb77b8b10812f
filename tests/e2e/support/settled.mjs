// When a page is done: nothing is asked any more, nothing waits, nothing moves, all is drawn.
import assert from 'node:assert/strict'

/** What a page asked for and has not got. */
const underWay = new WeakMap()
const patienceMs = 15_000

/** From now on it is known what the page waits for. */
export function watchRequests(page) {
  const open = new Set()
  underWay.set(page, open)
  page.on('request', (request) => open.add(request))
  for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => open.delete(request))
  // A refusal ends with its status: nobody has to read what else it says.
  page.on('response', (response) => response.ok() || open.delete(response.request()))
}

/** In the page: two frames later, what still moves and will end. */
const moving = `(async () => {
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame)
  const ends = (one) => Number.isFinite(one.effect?.getComputedTiming().endTime)
  return document.getAnimations().find((one) => one.playState === 'running' && ends(one))?.effect.target.outerHTML.slice(0, 140)
})()`
/** The same, once its type has come, and what on it waits. */
const unfinished = `(async () => {
  await document.fonts.ready
  const moves = await ${moving}
  return [moves, document.querySelector('[data-waiting]')?.outerHTML.slice(0, 140)]
})()`

async function until(page, idle) {
  const deadline = Date.now() + patienceMs
  for (;;) {
    const busy = (await idle()).filter(Boolean)
    if (busy.length === 0) return
    assert.ok(Date.now() < deadline, `${page.url()} is not done: ${busy.join(', ')}`)
  }
}

/** Waits until nothing on it moves. */
export const still = (page) => until(page, async () => [await page.evaluate(moving)])

/** Waits until the page asks for nothing, nothing on it waits or moves, its type has come, and two frames were drawn since. */
export const settled = (page) =>
  until(page, async () => [...(await page.evaluate(unfinished)), ...[...underWay.get(page)].map((request) => request.url())])
