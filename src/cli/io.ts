/** Where a command's output goes: stdout is the answer, stderr is for people. Tests give their own. */
import { type Progress, progressBar } from '../util/progress.ts';
import { wantsColor } from '../util/color.ts';

export interface Io {
  out(text: string): void;
  /** Clears the progress line first. */
  err(text: string): void;
  /** Whether stderr takes colours. */
  readonly color: boolean;
  readonly progress: Progress;
  /** Milliseconds, for progress and times; never part of an answer. */
  now(): number;
}

/** The process's own streams. A reader that goes away (`| head`) ends the process quietly. */
export function processIo(): Io {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(process.exitCode ?? 0);
    });
  }
  const now = (): number => performance.now();
  const progress = progressBar(process.stderr, now);
  return {
    out: (text) => void process.stdout.write(text),
    err(text) {
      progress.clear();
      process.stderr.write(text);
    },
    color: wantsColor(process.stderr.isTTY === true, process.env),
    progress,
    now,
  };
}
