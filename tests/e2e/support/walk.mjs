// Whether the keyboard reaches everything, and one sees where it is.
import assert from 'node:assert/strict'

/**
 * In the page: what Tab has to reach within `selector`, and a listener that sees where it led. What a Tab comes to is looked
 * at when the next is pressed, for then the page has scrolled there; `globalThis.walked()` looks at the last one and tells
 * how many are left. One of many stands for all of them where arrows move on: rows, radio buttons, tabs.
 */
function setOut(selector) {
  const root = document.querySelector(selector)
  const shown = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !node.closest('[inert], [aria-hidden=true], [data-aria-hidden]')
  const wanted = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]'
  const composite = (node) => node.matches('[tabindex="-1"]') || (node.matches('input[type=radio]') && !node.checked)
  const toReach = new Set([...root.querySelectorAll(wanted)].filter((node) => shown(node) && !node.disabled && !composite(node)))
  const unseen = new Set()
  const told = (node) => node.outerHTML.slice(0, 140)
  const rings = (one) => {
    const style = one && getComputedStyle(one)
    return style && style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 1
  }
  const arrive = () => {
    const node = document.activeElement
    toReach.delete(node)
    if (!node || node === document.body || !node.closest(selector)) return
    // A control may hand its ring to the box or the word around it.
    const ringed = rings(node) || rings(node.closest('label')) || rings(node.parentElement)
    const { top, bottom, left, right, width, height } = node.getBoundingClientRect()
    const inView = bottom > 0 && right > 0 && top < innerHeight && left < innerWidth && width > 0 && height > 0
    if (!ringed) unseen.add(`no ring: ${told(node)}`)
    if (!inView) unseen.add(`out of view: ${told(node)}`)
  }
  document.activeElement?.blur()
  root.querySelector('h1, h2')?.focus()
  let pressed = 0
  if (globalThis.onTab) removeEventListener('keydown', globalThis.onTab, true)
  globalThis.onTab = ({ key }) => key === 'Tab' && pressed++ > 0 && arrive()
  addEventListener('keydown', globalThis.onTab, true)
  globalThis.walked = () => {
    arrive()
    return { left: toReach.size, missed: [...toReach].filter((node) => node.isConnected).map(told), unseen: [...unseen] }
  }
  return toReach.size
}

/** Presses Tab until the focus has been everywhere within `scope`, and fails with what it never reached, and where it was not to be seen. */
export async function walk(page, scope, where) {
  const wanted = await page.evaluate(setOut, scope)
  let pressed = 0
  const press = async (times) => {
    for (; times > 0; times--, pressed++) await page.keyboard.press('Tab')
    return page.evaluate(() => globalThis.walked())
  }
  let found = await press(Math.max(1, wanted))
  // There is more on the way than within the scope: the menu, the bar, the browser itself.
  while (found.left > 0 && pressed < 15 + 2 * wanted) found = await press(4)
  assert.deepEqual(found.missed, [], `${where}: never reached`)
  assert.deepEqual(found.unseen, [], `${where}: not to be seen`)
}
