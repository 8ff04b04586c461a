#!/usr/bin/env node
/** The `wafc` command: puts the real drivers behind the commands, loaded when asked for. No logic. */
import { PASSES } from '../passes/index.ts';
import { processIo } from './cli/io.ts';
import { runCli } from './cli/main.ts';
import { cleanUpOnSignals } from './cli/signals.ts';
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
    compile: async (args, effects) => (await import('./driver/compile.ts')).compile(args, effects),
    check: async (args, effects) => (await import('./driver/check.ts')).check(args, effects),
    emit: async (args) => (await import('./driver/emit.ts')).emit(args),
    run: async (args, effects) => (await import('./driver/run.ts')).run(args, effects),
    report: async (args) => (await import('./driver/report.ts')).report(args),
    bench: async (args) => (await import('./driver/bench.ts')).bench(args),
    verify: async (args, effects) => (await import('./driver/verify.ts')).verify(args, effects),
    openModel,
    recognise: async (model, patient) => (await import('./driver/structure.ts')).recognise(model, patient),
    knowsOp: (kind) => opFor(kind) !== undefined,
    passes: PASSES,
    targets: { list: listTargets, load: loadTarget },
  },
  processIo(),
);
