import { defineConfig } from 'vitest/config'

/** Everything but the machines that boot in QEMU, which have `test/boot/vitest.config.ts`. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/boot/**'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
