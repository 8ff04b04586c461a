/** Ctrl-C leaves no half-written files behind. */
import { constants } from 'node:os';
import { removeTemporaries } from '../util/files.ts';

/** Exits with 128 + the signal's number, as shells expect, after cleaning up. */
export function cleanUpOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      removeTemporaries();
      process.exit(128 + constants.signals[signal]);
    });
  }
}
