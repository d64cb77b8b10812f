// What holds for every test: no server but the one it plays, and nothing under way that outlives it.
import { afterEach, vi } from 'vitest'

globalThis.fetch = () => Promise.reject(new TypeError('This test plays no server.'))

// A page draws its dialogs, charts and colours from files of their own. One that comes when its test's window is gone is
// an error nobody awaits.
afterEach(() => vi.dynamicImportSettled())
