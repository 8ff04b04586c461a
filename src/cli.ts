#!/usr/bin/env node
/** The `wafc` command: puts the real drivers behind the commands. No logic. */
import { PASSES } from '../passes/index.ts';
import { processIo } from './cli/io.ts';
import { runCli } from './cli/main.ts';
import { cleanUpOnSignals } from './cli/signals.ts';
import { compile } from './driver/compile.ts';
import { report } from './driver/report.ts';
import { verify } from './driver/verify.ts';
import { openModel } from './onnx/reader.ts';
import { opFor } from './ops/registry.ts';
import { listTargets, loadTarget } from './target/load.ts';
import { packageVersion } from './util/version.ts';

process.setSourceMapsEnabled(true);
cleanUpOnSignals();
// exitCode rather than exit(): what is still in a pipe gets written.
process.exitCode = await runCli(
  process.argv.slice(2),
  {
    version: packageVersion(),
    compile,
    report,
    verify,
    openModel,
    knowsOp: (kind) => opFor(kind) !== undefined,
    passes: PASSES,
    targets: { list: listTargets, load: loadTarget },
  },
  processIo(),
);
