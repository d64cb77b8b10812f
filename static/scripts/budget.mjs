// The size budget (gzip), from the build's manifest: shell ≤ 130 kB, each page ≤ 60 kB, the chart chunk ≤ 190 kB.
// A page's size is what it loads beyond the shell, the chart chunk apart.
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { join } from 'node:path'

const dist = process.env.STEWARD_WEB_OUT ?? 'dist'
const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'))
const size = (file) => gzipSync(readFileSync(join(dist, file)), { level: 9 }).length
const isChart = (key) => /echarts|charts\/engine/.test(key) || /^engine-/.test(manifest[key].name ?? '')

function closure(key, seen = new Set()) {
  if (seen.has(key)) return seen
  seen.add(key)
  for (const next of manifest[key].imports ?? []) closure(next, seen)
  return seen
}
const files = (keys) => {
  const all = new Set()
  for (const key of keys) {
    all.add(manifest[key].file)
    for (const css of manifest[key].css ?? []) all.add(css)
  }
  return all
}
const total = (set) => [...set].reduce((sum, file) => sum + size(file), 0)

const entry = 'index.html'
const shell = files(closure(entry))
let failed = false
const line = (name, bytes, limit) => {
  const over = bytes > limit * 1000
  failed ||= over
  console.log(`${over ? 'OVER' : 'ok  '} ${(bytes / 1000).toFixed(1).padStart(7)} kB of ${limit} kB  ${name}`)
}
line('shell', total(shell), 130)
for (const key of Object.keys(manifest).filter((key) => manifest[key].isDynamicEntry)) {
  // A dialog that a page loads later comes on top of what that page has already loaded: its own file counts.
  const isPage = /Page\.vue$/.test(key)
  const mine = isPage ? [...files(closure(key))].filter((file) => !shell.has(file)) : [...files([key])]
  line(
    key,
    mine.reduce((sum, file) => sum + size(file), 0),
    isChart(key) ? 190 : 60,
  )
}
// The kit's own page is for builders; nothing of it is shipped.
const strays = Object.keys(manifest).filter((key) => key.includes('kitpage'))
if (strays.length > 0) console.log(`OVER    built, but for development only: ${strays.join(', ')}`)
process.exit(failed || strays.length > 0 ? 1 : 0)
