// Which browser: the one that is named, or what is installed.
import { existsSync } from 'node:fs'

// The same engine without a browser around it, where there is one: a visit costs half.
const installed = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium']

export const executablePath = process.env.STEWARD_CHROMIUM ?? installed.find((path) => existsSync(path)) ?? installed[0]
