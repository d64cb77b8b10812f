import { mergeConfig, defineConfig } from 'vitest/config'
import vite from './vite.config'

// One window and one load of all modules serve all files: five times as fast as one of each for every file. What needs
// them to itself is named `*.alone.test.ts`: it puts something in a module's place, or plays several tabs.
const alone = 'src/**/*.alone.test.ts'

export default mergeConfig(
  vite,
  defineConfig({
    server: { fs: { allow: ['..'] } },
    test: {
      environment: 'happy-dom',
      setupFiles: ['src/testing.setup.ts'],
      restoreMocks: true,
      projects: [
        { extends: true, test: { name: 'alone', include: [alone] } },
        { extends: true, test: { name: 'together', include: ['src/**/*.test.ts'], exclude: [alone], isolate: false } },
      ],
    },
  }),
)
