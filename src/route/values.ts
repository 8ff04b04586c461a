/** Which values cross the fabric in a step: from the host, from region to region, to the host. */
import { wireBytes } from '../cost/tile.ts';
import type { Stage, With } from '../ir/facts.ts';
import type { ValueId } from '../ir/ids.ts';
import type { MeshAxis, ProgramTensor, RegionProgram, T } from '../ir/program.ts';

export type Routable = With<'stages' | 'mapping' | 'placement'>;

/** A value as one region holds it. */
export interface Carried {
  readonly name: string;
  /** Axes that cut it over the region: each part is on the cores that differ along the others. */
  readonly axes: readonly MeshAxis[];
  /** Of the fullest part; of all of it, where it comes from the host. */
  readonly partWavelets: number;
}

/** Values that leave region `from` (null: the host) together for the regions `to` (null: the host). */
export interface Crossing {
  readonly from: number | null;
  readonly to: readonly number[] | null;
  readonly values: readonly Carried[];
  /** Axes that cut them where they arrive; null at the host. */
  readonly arrives: readonly MeshAxis[] | null;
}

/** In the order in which a step needs them: from the host, then by region, then to the host. */
export function crossingsOf(program: Routable): Crossing[] {
  const { stages, mapping, placement, target, graph } = program;
  const home = new Map<number, number>();
  for (const [r, region] of placement.regions.entries()) for (const s of region.stages) home.set(s, r);
  const programOf = (stage: Stage): RegionProgram => mapping.programs[stage.template];
  /** The parts that cores hold, or all of it, from the host. */
  const carried = (stage: Stage, v: ValueId, t: T, fromHost = false): Carried => {
    const { tensors, shape } = programOf(stage);
    const { layout } = tensors[t];
    const whole = { dims: layout.dims.map(() => []), partial: null };
    const bytes = wireBytes({ ...tensors[t], layout: fromHost ? whole : layout }, shape);
    return {
      name: graph.names[v],
      axes: axesOf(tensors[t]),
      partWavelets: Math.ceil(bytes / target.waveletBytes),
    };
  };
  const maker = new Map<ValueId, { readonly stage: Stage; readonly at: number; readonly region: number }>();
  for (const [s, stage] of stages.stages.entries())
    for (const [at, v] of stage.outputs.entries()) maker.set(v, { stage, at, region: home.get(s) ?? 0 });

  const fromHost = new Map<ValueId, { readonly value: Carried; readonly regions: Set<number> }>();
  const sends = new Map<
    string,
    { from: number; to: number; values: Map<ValueId, Carried>; arrives: readonly MeshAxis[] }
  >();
  for (const [s, stage] of stages.stages.entries()) {
    const to = home.get(s) ?? 0;
    for (const [k, v] of stage.inputs.entries()) {
      const input = programOf(stage).inputs[k];
      if (input === null) continue;
      const made = maker.get(v);
      if (made === undefined) {
        const known = fromHost.get(v) ?? { value: carried(stage, v, input.tensor, true), regions: new Set() };
        fromHost.set(v, known);
        known.regions.add(to);
        continue;
      }
      const t = programOf(made.stage).outputs[made.at];
      if (made.region === to || t === null) continue;
      const arrives = axesOf(programOf(stage).tensors[input.tensor]);
      const key = `${made.region} ${to}`;
      const send = sends.get(key) ?? { from: made.region, to, values: new Map(), arrives };
      send.values.set(v, carried(made.stage, v, t));
      sends.set(key, send);
    }
  }
  const wanted = new Set<ValueId | null>([...graph.outputs, ...stages.host.flatMap((at) => graph.ops[at].inputs)]);
  const results = [...maker].flatMap(([v, { stage, at, region }]): Crossing[] => {
    const t = programOf(stage).outputs[at];
    return t === null || !wanted.has(v)
      ? []
      : [{ from: region, to: null, values: [carried(stage, v, t)], arrives: null }];
  });
  // Values that the same regions read travel together; those that the first region waits for come first.
  const entering = new Map<string, { to: number[]; values: Carried[] }>();
  for (const { value, regions } of fromHost.values()) {
    const to = [...regions].sort((a, b) => a - b);
    const group = entering.get(to.join()) ?? { to, values: [] };
    group.values.push(value);
    entering.set(to.join(), group);
  }
  const first = [...entering.values()].sort((a, b) => a.to[0] - b.to[0] || a.to.length - b.to.length);
  const passing = [...sends.values()]
    .sort((a, b) => a.from - b.from || a.to - b.to)
    .map(({ from, to, values, arrives }): Crossing => ({ from, to: [to], values: [...values.values()], arrives }));
  return [...first.map((group): Crossing => ({ from: null, ...group, arrives: [] })), ...passing, ...results];
}

/** Axes that cut any dim of a tensor. */
const axesOf = ({ layout }: ProgramTensor): MeshAxis[] => layout.dims.flat();
