// The build of the console: one entry, pages as lazy chunks, every compressible file also as .br and .gz,
// so that the server never compresses at run time.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import tailwindcss from '@tailwindcss/vite'
import vue from '@vitejs/plugin-vue'
import { defineConfig, type Plugin } from 'vite'

const outDir = process.env.STEWARD_WEB_OUT ?? 'dist'
const api = process.env.STEWARD_API ?? 'http://127.0.0.1:8080'

function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    // Not closeBundle: that is called after a failed build as well and would hide its cause.
    writeBundle() {
      for (const name of readdirSync(outDir, { recursive: true, encoding: 'utf8' })) {
        const file = join(outDir, name)
        if (!/\.(js|css|html|svg|json|txt)$/.test(name) || statSync(file).size < 512) continue
        const bytes = readFileSync(file)
        writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }))
        writeFileSync(
          `${file}.br`,
          brotliCompressSync(bytes, {
            params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
          }),
        )
      }
    },
  }
}

/** The early script stands before all others, and `async`: nothing waits for it, it waits for nothing. */
function early(): Plugin {
  const source = 'src/early.ts'
  return {
    name: 'early',
    transformIndexHtml: {
      order: 'post',
      handler: (_html, { bundle }) => {
        const built = Object.values(bundle ?? {}).find(
          (file) => file.type === 'chunk' && file.facadeModuleId?.endsWith(source),
        )
        if (bundle && !built) throw new Error(`${source} was not built`)
        const attrs = { type: 'module', async: true, crossorigin: true }
        const src = `/ops/${built?.fileName ?? source}`
        // What it is made of is asked for in the same breath, before the large files fill the line.
        const parts = built?.type === 'chunk' ? built.imports : []
        return [
          { tag: 'script', attrs: { ...attrs, src, fetchpriority: 'high' }, injectTo: 'head-prepend' },
          ...parts.map((part) => ({
            tag: 'link',
            attrs: { rel: 'modulepreload', crossorigin: true, href: `/ops/${part}` },
            injectTo: 'head-prepend' as const,
          })),
        ]
      },
    },
  }
}

export default defineConfig({
  base: '/ops/',
  plugins: [vue(), tailwindcss(), early(), compressed()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  define: {
    __VUE_OPTIONS_API__: 'false',
    __VUE_PROD_DEVTOOLS__: 'false',
    __VUE_I18N_LEGACY_API__: 'false',
    __VUE_I18N_FULL_INSTALL__: 'false',
    __INTLIFY_PROD_DEVTOOLS__: 'false',
  },
  build: {
    outDir,
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    manifest: true,
    target: 'es2022',
    rolldownOptions: {
      input: ['index.html', 'src/early.ts'],
      output: {
        // What every page stands on, in one file: a browser opens six connections, and each file costs a round trip.
        codeSplitting: {
          groups: [
            {
              name: 'base',
              test: /node_modules\/(@vue|vue|vue-router|pinia|vue-i18n|@intlify|@tanstack\/(query-core|vue-query)|@vueuse|openapi-fetch)\/|rolldown\/runtime|plugin-vue:export-helper/,
            },
          ],
        },
      },
    },
  },
  server: { port: 5173, proxy: { '/api': api, '/v1': api, '/health': api, '/readyz': api } },
})
