/** Ctrl-C leaves no half-written files behind; a command that asks for it is told, and ends by itself. */
import { constants } from 'node:os';
import { removeTemporaries } from '../util/files.ts';

let listening: AbortController | undefined;

/** The next interrupt aborts this signal; the one after it ends the process as usual. */
export function interruption(): AbortSignal {
  listening = new AbortController();
  return listening.signal;
}

/** Exits with 128 + the signal's number, as shells expect, after cleaning up. */
export function cleanUpOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (signal === 'SIGINT' && listening?.signal.aborted === false) {
        listening.abort();
        return;
      }
      removeTemporaries();
      process.exit(128 + constants.signals[signal]);
    });
  }
}
