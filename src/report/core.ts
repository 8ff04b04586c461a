/** One core of a plan: its place, what its router does, its queues, its SRAM, and its ops with their cycles. */
import { fail } from '../diag/diagnostic.ts';
import type { Buffer } from '../ir/facts.ts';
import { printProgramOp } from '../ir/print-program.ts';
import type { Phase } from '../ir/routing.ts';
import type { Plan } from '../plan/types.ts';
import { type CoreRoute, classOf, routesAt, standingAt } from '../route/expand.ts';
import { isUsable } from '../target/cores.ts';

export const CORE_SCHEMA = 'wafc.core/1';

export interface CoreProgram {
  readonly schema: typeof CORE_SCHEMA;
  readonly x: number;
  readonly y: number;
  /** Whether the target lets a program use the core. */
  readonly usable: boolean;
  /** Null where no region stands, and in columns and rows that a region skips. */
  readonly place: {
    readonly region: number;
    readonly column: number;
    readonly row: number;
    readonly stages: readonly string[];
  } | null;
  /** By color; a color with two entries takes turns. */
  readonly routes: readonly (Pick<CoreRoute, 'color' | 'routes' | 'input' | 'output'> & {
    readonly flow: string;
    readonly when: string;
  })[];
  /** The map of the region's fullest core, which all its cores share. */
  readonly memory: readonly Buffer[];
  /** By template, in the order of its stages. */
  readonly programs: readonly { readonly template: string; readonly ops: readonly CoreOp[] }[];
}

export interface CoreOp {
  readonly op: string;
  readonly start: number;
  readonly cycles: number;
  /** Cycles of writing routes, among `cycles`. */
  readonly reset: number;
  readonly algorithm: string | null;
  /** Colors that the core writes before, receives from, and sends on. */
  readonly writes: readonly number[];
  readonly receives: readonly number[];
  readonly sends: readonly number[];
}

/** @throws Diagnosed `report/core` for a core beyond the fabric. */
export function coreProgram(plan: Plan, x: number, y: number): CoreProgram {
  const { target, regions, stages, templates, memory, routing, schedule } = plan;
  if (x >= target.width || y >= target.height)
    fail({
      code: 'report/core',
      message: `core (${x},${y}) is beyond the fabric: columns 0 .. ${target.width - 1}, rows 0 .. ${target.height - 1}`,
    });
  const routes = routesAt(plan, x, y);
  const standing = standingAt(plan, x, y);
  const works = standing !== null && standing.column !== null && standing.row !== null ? standing : null;
  const region = works === null ? null : regions[works.region];
  const held = region === null ? [] : [...new Set(region.stages.map((s) => stages[s].template))];
  const own = region === null ? undefined : routing.classes[classOf(plan, region)];
  const phasesOf = (t: number): readonly Phase[] => own?.phases[own.templates.indexOf(t)] ?? [];
  const inside = new Map(routes.flatMap((r) => (r.class === null ? [] : [[r.flow, r] as const])));
  return {
    schema: CORE_SCHEMA,
    x,
    y,
    usable: isUsable(target, x, y),
    place:
      works === null || region === null || works.column === null || works.row === null
        ? null
        : {
            region: works.region,
            column: works.column,
            row: works.row,
            stages: region.stages.map((s) => stages[s].name),
          },
    routes: routes.map(({ color, routes: positions, input, output, transport, flow }) => ({
      color,
      routes: positions,
      input,
      output,
      flow: transport === null ? `flow ${flow}` : transportName(plan, transport),
      when:
        transport === null
          ? usesOf(
              held.map((t) => [templates[t].name, phasesOf(t)]),
              flow,
            )
          : 'always',
    })),
    memory: works === null ? [] : memory[works.region].buffers,
    programs: held.map((t) => ({
      template: templates[t].name,
      ops: schedule.perTemplate[t].map(({ op, start, cycles, reset, algorithm }): CoreOp => {
        const { program } = templates[t];
        const phases = phasesOf(t).filter((p) => p.op === op);
        const colors = (list: readonly number[], has: (r: CoreRoute) => boolean): number[] => [
          ...new Set(
            list
              .flatMap((f) => inside.get(f) ?? [])
              .filter(has)
              .map((r) => r.color),
          ),
        ];
        const used = phases.flatMap((p) => p.flows);
        return {
          op: printProgramOp(program.ops[op], (i) => program.tensors[i].name),
          start,
          cycles,
          reset: reset ?? 0,
          algorithm: algorithm ?? null,
          writes: colors(
            phases.flatMap((p) => p.loads),
            () => true,
          ),
          receives: colors(used, (r) => r.input !== null),
          sends: colors(used, (r) => r.output !== null),
        };
      }),
    })),
  };
}

function transportName({ routing }: Plan, index: number): string {
  const { kind, from, to, algorithm } = routing.transports[index];
  const end = (regions: readonly number[] | null): string =>
    regions === null ? 'host' : regions.length > 3 ? `${regions.length} regions` : `region ${regions.join(', ')}`;
  return `${kind} ${end(from === null ? null : [from])} -> ${end(to)}, ${algorithm}`;
}

/** `layer op 6, 24`: the ops that use a flow. */
function usesOf(programs: readonly (readonly [string, readonly Phase[]])[], flow: number): string {
  return programs
    .flatMap(([name, phases]) => {
      const ops = phases.filter((p) => p.flows.includes(flow)).map((p) => p.op);
      return ops.length === 0 ? [] : [`${name} op ${[...new Set(ops)].join(', ')}`];
    })
    .join('; ');
}
