// The programs a browser test needs, each on a free port with a directory of its own: Steward and the fake provider.
// Nothing here knows of a browser.
import { spawn } from 'node:child_process'
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
const target = resolve(repository, process.env.CARGO_TARGET_DIR ?? 'target')
const stewardBinary = resolve(process.env.STEWARD_BIN ?? join(target, 'debug/steward'))
const providerBinary = resolve(process.env.STEWARD_FAKE_PROVIDER_BIN ?? join(target, 'debug/examples/fake_provider'))

export const password = 'correct horse battery staple'
const startWithinMs = 60_000
const stopWithinMs = 20_000

// Told to stop, a test still stops its children: 'exit' comes before the end.
for (const [signal, code] of [['SIGTERM', 143], ['SIGINT', 130]]) process.once(signal, () => process.exit(code))

/** A child process: the first line that says where it listens, and an end that insists. */
async function launch(binary, args, { address, env, cwd, log }) {
  const child = spawn(binary, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines = []
  const orphaned = () => child.kill('SIGKILL')
  process.once('exit', orphaned)
  child.once('exit', () => process.off('exit', orphaned))
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((done) => child.once('exit', done))
    child.kill('SIGTERM')
    const insist = setTimeout(() => child.kill('SIGKILL'), stopWithinMs)
    await ended
    clearTimeout(insist)
  }
  const url = await new Promise((found, failed) => {
    const give = (why) => failed(new Error(`${binary} ${why}\n${lines.slice(-40).join('\n')}`))
    const late = setTimeout(() => give(`did not say within ${startWithinMs} ms where it listens`), startWithinMs)
    child.once('error', (cause) => give(`cannot be started (build it first): ${cause.message}`))
    child.once('exit', (code) => give(`ended with ${code}`))
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        log?.write(`${line}\n`)
        lines.push(line)
        if (lines.length > 400) lines.shift()
        const said = address.exec(line)
        if (said) {
          clearTimeout(late)
          found(said[1])
        }
      })
    }
  }).catch(async (cause) => {
    await stop()
    throw cause
  })
  return { url, stop, lines }
}

/** The scripted model provider; a model's name tells it what to do (`tests/fake_provider/script.rs`). */
export const startProvider = () => launch(providerBinary, ['127.0.0.1:0'], { address: /^(http:\/\/\S+)/ })

/** A day of history at few calls a second: it is written before the process listens. */
const demonstration = ['demo', '--history-days', '1', '--calls-per-second', '2']
const demonstrationPassword = 'demo-steward'

/**
 * A Steward with an empty data directory, or with `data`, which stays, or a demonstration; `api` speaks to it as its first
 * administrator, whose password `secret` is; null leaves it to Steward to make one and print it.
 */
export async function startSteward(env = {}, { data, demo = false, secret = demo ? demonstrationPassword : password } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'steward-e2e-'))
  const log = createWriteStream(join(directory, 'steward.log'))
  const clean = () => rmSync(directory, { recursive: true, force: true })
  const started = await launch(stewardBinary, [...(demo ? demonstration : ['serve']), '--data-dir', data ? resolve(data) : join(directory, 'data'), '--listen', '127.0.0.1:0'], {
    address: /listening.* address=(\S+)/,
    cwd: directory,
    log,
    env: {
      STEWARD_ADMIN_PASSWORD: secret ?? '',
      // Tests ask more often than people do.
      STEWARD__API__RATE_LIMIT_PER_OPERATOR: '1000000',
      STEWARD__API__RATE_LIMIT_PER_ADDRESS: '1000000',
      ...env,
    },
  }).catch((cause) => {
    clean()
    throw cause
  })
  const url = `http://${started.url}`
  const stop = async () => {
    await started.stop()
    log.end()
    clean()
  }
  // Nobody knows it but the one who reads what was printed.
  if (secret === null) return { url, lines: started.lines, stop }
  const signedIn = await call(url, null, 'POST', '/api/v1/auth/login', { username: 'admin', password: secret })
  const key = await call(url, signedIn.access_token, 'POST', '/api/v1/auth/keys', { name: 'browser tests' })
  return {
    url,
    lines: started.lines,
    api: (method, path, body) => call(url, key.key, method, path, body),
    stop,
  }
}

async function call(url, bearer, method, path, body) {
  const response = await fetch(url + path, {
    method,
    headers: { 'content-type': 'application/json', ...(bearer ? { authorization: `Bearer ${bearer}` } : {}) },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text ? JSON.parse(text) : null
}
