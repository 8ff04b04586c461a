/** The report of a model that does not fit: the keys of a report, null where there is no plan to compute them from. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import { elementCount } from '../ir/constant.ts';
import type { Program } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { Plan } from '../plan/types.ts';
import { usableCores } from '../target/cores.ts';
import { REPORT_SCHEMA } from './report.ts';

/** What `compile --json` prints when the model does not fit: the same keys, null where there is no plan to compute them from. */
export function noFitReport(
  program: Program,
  imported: Graph,
  options: Plan['options'],
  diagnostics: readonly Diagnostic[],
): unknown {
  const { target, mode } = program;
  const short = diagnostics.find((d) => d.shortfall !== undefined);
  return {
    schema: REPORT_SCHEMA,
    model: {
      name: imported.name,
      sha256: null,
      parameters: [...imported.constants.values()].reduce((n, c) => n + elementCount(c.shape), 0),
      ops: imported.ops.length,
    },
    target: { name: target.name, width: target.width, height: target.height, usableCores: usableCores(target) },
    options,
    fits: false,
    context: mode.context,
    batch: mode.batch,
    mode: mode.kind,
    objective: options.objective ?? null,
    sram: null,
    regions: null,
    stages: null,
    templates: null,
    collectives: null,
    routing: null,
    fabric: null,
    decode: null,
    prefill: null,
    encode: null,
    accuracy: null,
    compression: null,
    shortfall: {
      needBytes: short?.shortfall?.need ?? null,
      haveBytes: short?.shortfall?.have ?? null,
      terms: short?.shortfall?.terms ?? [],
      remedies: diagnostics.flatMap((d) => (d.remedies ?? []).map((r) => ({ ...r, fits: true }))),
    },
    diagnostics,
  };
}
