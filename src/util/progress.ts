/** One line of progress on a terminal's stderr; nothing anywhere else. Never part of an answer. */

export interface Progress {
  /** `done` of `total` (bytes, layers, ..), and what is being worked on. */
  update(done: number, total: number, label: string): void;
  /** Clears the line. Call it before anything else is written, and at the end. */
  clear(): void;
}

export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export const NO_PROGRESS: Progress = { update: () => {}, clear: () => {} };

const INTERVAL_MS = 80;
const BAR_CELLS = 24;

/** Draws at most every 80 ms by `now` (milliseconds); does nothing when the stream is not a terminal. */
export function progressBar(stream: ProgressStream, now: () => number): Progress {
  if (stream.isTTY !== true) return NO_PROGRESS;
  let drawn = Number.NEGATIVE_INFINITY;
  let visible = false;
  return {
    update(done, total, label) {
      const time = now();
      if (time - drawn < INTERVAL_MS && done < total) return;
      drawn = time;
      visible = true;
      stream.write(`\r\x1b[K${progressLine(done, total, label, stream.columns ?? 80)}`);
    },
    clear() {
      if (visible) stream.write('\r\x1b[K');
      visible = false;
    },
  };
}

/** `[=====>    ]  42 % label`, cut to fit a line. */
export function progressLine(done: number, total: number, label: string, columns: number): string {
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  const filled = Math.round(share * BAR_CELLS);
  const bar = '='.repeat(Math.max(0, filled - 1)) + (filled > 0 ? '>' : '');
  const text = `[${bar.padEnd(BAR_CELLS)}] ${String(Math.floor(share * 100)).padStart(3)} % ${label}`;
  // The last column stays free: writing it makes some terminals wrap.
  return text.slice(0, Math.max(0, columns - 1));
}
