/**
 * Three projects: `fast` is what one runs while writing (under a minute), `slow` holds what takes longer or needs
 * onnxruntime: files named *.slow.test.ts. Those that time whole processes (*.timed.slow.test.ts) are `timed`: they run when all
 * others are done, one at a time.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    maxWorkers: '100%', // the default leaves a core idle, and on two cores that is half the machine
    projects: [
      {
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.slow.test.ts', '**/node_modules/**'],
          setupFiles: ['test/support/setup.ts'],
          testTimeout: 20_000,
          hookTimeout: 60_000, // hooks compile models, beside others on the same cores
        },
      },
      {
        test: {
          name: 'slow',
          include: ['test/**/*.slow.test.ts'],
          exclude: ['test/**/*.timed.slow.test.ts', '**/node_modules/**'],
          setupFiles: ['test/support/setup.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
      {
        test: {
          name: 'timed',
          include: ['test/**/*.timed.slow.test.ts'],
          exclude: ['**/node_modules/**'],
          setupFiles: ['test/support/setup.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
