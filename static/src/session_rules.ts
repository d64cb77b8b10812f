// The session's pure and browser-only parts, apart from its state.

/** Whether patterns such as `*`, `read:*`, `write:tokens`, `!read:conversations` permit something. `!` wins. */
export function permits(patterns: readonly string[], permission: string): boolean {
  const fits = (pattern: string) =>
    pattern === '*' || pattern === permission || (pattern.endsWith(':*') && permission.startsWith(pattern.slice(0, -1)))
  return (
    patterns.some((pattern) => !pattern.startsWith('!') && fits(pattern)) &&
    !patterns.some((pattern) => pattern.startsWith('!') && fits(pattern.slice(1)))
  )
}

const leaseMs = 8_000
const sleep = (ms: number) => new Promise((wake) => setTimeout(wake, ms))

/**
 * Runs `work` while no other tab does. The browser's own locks exist only on https and localhost; elsewhere a
 * lease in localStorage does, which a tab that died leaves behind for eight seconds.
 */
export async function oneTabAtATime<T>(name: string, work: () => Promise<T>): Promise<T> {
  if (typeof navigator !== 'undefined' && navigator.locks) return navigator.locks.request(name, work)
  const mine = `${Math.random()}`
  for (;;) {
    const [holder, until] = (localStorage.getItem(name) ?? '').split(' ')
    if (!holder || Number(until) < Date.now()) {
      localStorage.setItem(name, `${mine} ${Date.now() + leaseMs}`)
      // Two tabs may have written at once; the later one's name stands after a moment.
      await sleep(25)
      if (localStorage.getItem(name)?.startsWith(mine)) break
    }
    await sleep(60)
  }
  try {
    return await work()
  } finally {
    localStorage.removeItem(name)
  }
}
