/**
 * predict-cycles: when every op of every template starts, and what a step takes.
 *
 * Before  facts `mapping` and `placement`.
 * After   fact `schedule`: ops one after another (a region program has one thread of control), sends between regions, host
 *         bytes; calibrated estimates and physical bounds side by side, never mixed.
 * Skips   overlap of compute and communication: none is assumed.
 */
import { costProgram } from '../../src/cost/program.ts';
import { sendCost } from '../../src/cost/transport.ts';
import type { Schedule, ScheduledOp } from '../../src/ir/facts.ts';
import type { RegionProgram, T } from '../../src/ir/program.ts';
import { bytesFor } from '../../src/ir/types.ts';
import { definePass } from '../../src/pass/pass.ts';

export default definePass({
  name: 'predict-cycles',
  summary: 'predict the cycles of every op and of a step',
  requires: ['stages', 'mapping', 'placement'],
  provides: ['schedule'],
  preserves: ['stages', 'mapping', 'placement', 'memory'],
  numerics: 'exact',
  options: {},
  run(program) {
    const { stages, mapping, placement, target, graph } = program;
    const perTemplate = mapping.programs.map((p) => {
      let start = 0;
      return costProgram(p, target).map(({ op, cycles, bound, boundBy, algorithm }): ScheduledOp => {
        const at = start;
        start += cycles;
        return { op, start: at, cycles, bound, boundBy, ...(algorithm === undefined ? {} : { algorithm }) };
      });
    });
    const { regions } = placement;
    const sends: Schedule['sends'][number][] = [];
    for (let r = 0; r + 1 < regions.length; r++) {
      const last = stages.stages[regions[r].stages.at(-1) ?? 0];
      const passed = new Set(stages.stages.slice(regions[r + 1].stages[0]).flatMap((s) => s.inputs));
      const producer = mapping.programs[last.template];
      const bytes =
        last.outputs.reduce((n, v, i) => n + (passed.has(v) ? bytesOf(producer, producer.outputs[i]) : 0), 0) +
        rowBytes(mapping.programs[stages.stages[regions[r + 1].stages[0]].template]);
      const { cycles, bound } = sendCost({ from: regions[r], to: regions[r + 1], bytes }, target);
      sends.push({ from: r, to: r + 1, cycles, bound });
    }
    const sum = (key: 'cycles' | 'bound'): number =>
      stages.stages.reduce((n, s) => n + perTemplate[s.template].reduce((m, o) => m + o[key], 0), 0) +
      sends.reduce((n, s) => n + s[key], 0);
    const made = new Set(stages.stages.flatMap((s) => s.outputs));
    const hostInputs = new Map(
      stages.stages.flatMap((s) =>
        s.inputs.map((v, i): [number, number] => [
          v,
          made.has(v)
            ? 0
            : bytesOf(mapping.programs[s.template], mapping.programs[s.template].inputs[i]?.tensor ?? null),
        ]),
      ),
    );
    const outputs = new Set(graph.outputs);
    const hostOps = new Set(stages.host.flatMap((at) => graph.ops[at].inputs));
    const bytesOut = stages.stages.reduce(
      (n, s) =>
        n +
        s.outputs.reduce(
          (m, v, i) =>
            m +
            (outputs.has(v) || hostOps.has(v)
              ? bytesOf(mapping.programs[s.template], mapping.programs[s.template].outputs[i])
              : 0),
          0,
        ),
      0,
    );
    const schedule: Schedule = {
      perTemplate,
      sends,
      host: { bytesIn: [...hostInputs.values()].reduce((a, b) => a + b, 0), bytesOut },
      cyclesPerStep: { calibrated: sum('cycles'), bound: sum('bound') },
    };
    return { ...program, schedule };
  },
});

/** Bytes of a whole step tensor. */
function bytesOf({ tensors }: RegionProgram, t: T | null): number {
  if (t === null) return 0;
  const { dtype, shape } = tensors[t];
  return bytesFor(
    dtype,
    shape.reduce((a, b) => a * b, 1),
  );
}

/** Host values that travel on with the activation: rows, indices and mask entries of the next stage. */
const rowBytes = (program: RegionProgram): number =>
  program.inputs.reduce(
    (n, input) => n + (input === null || input.kind === 'activation' ? 0 : bytesOf(program, input.tensor)),
    0,
  );
