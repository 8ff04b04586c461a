/** Program with all its facts -> Plan, without the hashes of weights (write.ts fills them in as it writes). */
import { createHash } from 'node:crypto';
import type { Program, Stages, With } from '../ir/facts.ts';
import type { Constant } from '../ir/constant.ts';
import { bytesSource, denseConstant, elementCount, isQuantized, reshapeConstant } from '../ir/constant.ts';
import { printDim } from '../ir/dim.ts';
import type { Graph } from '../ir/graph.ts';
import type { OpId, ValueId } from '../ir/ids.ts';
import { FULL_ELEMENTS, printGraph } from '../ir/print.ts';
import { bytesFor } from '../ir/types.ts';
import { pack } from '../tensor/pack.ts';
import { readConstant } from '../tensor/read.ts';
import { weightBytes } from './coded-tiles.ts';
import { sparseBytes } from './sparse-tiles.ts';
import { type Blob, type Plan, PLAN_SCHEMA, type PlanIo, type PlanStage } from './types.ts';

export type Planned = With<'stages' | 'mapping' | 'placement' | 'memory' | 'routing' | 'schedule'>;

/** What the plan says of its model beside the graph. */
export interface PlanOrigin {
  readonly generator: string;
  /** The graph as imported: what the model's digest is made of. */
  readonly imported: Graph;
  /** Where parameters are counted, when not there: a quantized model counts weights, not scales and bytes. */
  readonly counted?: Graph;
  readonly options: Readonly<Record<string, unknown>>;
}

/** A blob and the constant whose bytes it will hold. */
export interface PlannedBlob {
  readonly blob: Blob;
  readonly constant: Constant;
}

export interface Draft {
  readonly plan: Plan;
  /** Stage weights in file order, then host constants. */
  readonly stageBlobs: readonly (readonly PlannedBlob[])[];
  readonly hostBlobs: readonly PlannedBlob[];
}

/** Blobs start at multiples of this many bytes. */
const BLOB_ALIGN = 64;

export function buildPlan(program: Planned, origin: PlanOrigin): Draft {
  const { graph, stages, mapping, placement, memory, routing, schedule, target, mode } = program;
  let end = 0;
  const place = (name: string, constant: Constant, bytes: number): PlannedBlob => {
    const blob: Blob = { name, dtype: constant.stored, shape: constant.shape, offset: end, bytes, sha256: null };
    end = Math.ceil((end + bytes) / BLOB_ALIGN) * BLOB_ALIGN;
    return { blob, constant };
  };
  const stageBlobs = stages.stages.map((stage) => {
    const { tensors, weights, weightSources, shape } = mapping.programs[stage.template];
    return weightSources.map((k, i) => {
      const constant = constantOf(graph, stage.weights[k]);
      const tensor = tensors[weights[i]];
      const { sparsity } = tensor;
      const name = graph.names[stage.weights[k]];
      if (sparsity !== undefined) return place(name, constant, sparseBytes(constant, { ...tensor, sparsity }, shape));
      const bytes = weightBytes(tensor, shape);
      // Tiles of codes are made of rows and columns.
      const matrix = isQuantized(constant) ? reshapeConstant(constant, tensor.shape) : constant;
      return place(name, matrix ?? constant, bytes);
    });
  });
  const host = hostPart(graph, stages);
  const hostBlobs = host.constants.map((v) => {
    const constant = hostConstant(graph, v);
    return place(graph.names[v], constant, bytesFor(constant.stored, elementCount(constant.shape)));
  });
  const names = (values: readonly ValueId[]): string[] => values.map((v) => graph.names[v]);
  const planStages: PlanStage[] = stages.stages.map((stage, i) => ({
    name: stage.name,
    template: stage.template,
    region: placement.regions.findIndex((r) => r.stages.includes(i)),
    inputs: names(stage.inputs),
    outputs: names(stage.outputs),
    values: stage.ops.map((at) => graph.names[graph.ops[at].outputs[0] as ValueId]),
    weights: stageBlobs[i].map(({ blob }) => blob),
  }));
  const plan: Plan = {
    schema: PLAN_SCHEMA,
    generator: origin.generator,
    model: modelFacts(origin.imported, origin.counted ?? origin.imported),
    options: origin.options,
    mode,
    target,
    inputs: io(program, graph.inputs),
    outputs: io(program, graph.outputs),
    host: { before: host.before, after: host.after, constants: hostBlobs.map(({ blob }) => blob) },
    templates: stages.templates.map(({ name }, i) => ({ name, program: mapping.programs[i] })),
    stages: planStages,
    regions: placement.regions,
    replicas: placement.replicas ?? [],
    memory: memory.maps,
    routing,
    schedule,
    weights: { bytes: end, sha256: null, zeros: null },
  };
  return { plan, stageBlobs, hostBlobs };
}

const constantOf = (graph: Graph, v: ValueId): Constant => {
  const constant = graph.constants.get(v);
  if (constant === undefined) throw new Error(`${graph.names[v]} is not a constant`);
  return constant;
};

/** The host computes with values: its quantized tables (angles, positions) are decoded. */
function hostConstant(graph: Graph, v: ValueId): Constant {
  const constant = constantOf(graph, v);
  if (!isQuantized(constant)) return constant;
  const { dtype, shape, data } = readConstant(constant);
  return denseConstant(dtype, shape, bytesSource(graph.names[v], pack(dtype, data)));
}

const io = ({ graph, roles }: Program, values: readonly ValueId[]): PlanIo[] =>
  values.map((v) => ({
    name: graph.names[v],
    dtype: graph.types[v].dtype,
    shape: graph.types[v].shape.map((d) => (typeof d === 'number' ? d : printDim(d))),
    role: roles.get(graph.names[v]) ?? { kind: 'plain' },
  }));

/**
 * Name, digest, parameters and ops of the model. The digest is over the graph in canonical order with weights by name and
 * type, so that listing the same nodes in another order changes nothing; weights have digests of their own.
 */
function modelFacts(graph: Graph, counted: Graph): Plan['model'] {
  const parameters = [...counted.constants.values()]
    .filter(({ dtype }) => dtype !== 'i64')
    .reduce((n, c) => n + elementCount(c.shape), 0);
  return {
    name: graph.name,
    sha256: createHash('sha256').update(printGraph(graph)).digest('hex'),
    parameters,
    ops: graph.ops.length,
  };
}

interface HostPart {
  readonly before: string;
  readonly after: string;
  /** Constants too large for the text. */
  readonly constants: readonly ValueId[];
}

/** The host's ops as two graphs: what stages and outputs read of it, and what turns results into outputs. */
function hostPart(graph: Graph, { host, stages }: Stages): HostPart {
  const made = new Set(stages.flatMap((s) => s.outputs));
  const dependsOnWafer = new Set<ValueId>(made);
  const before: OpId[] = [];
  const after: OpId[] = [];
  for (const at of host) {
    const op = graph.ops[at];
    const late = op.inputs.some((v) => v !== null && dependsOnWafer.has(v));
    (late ? after : before).push(at);
    if (late) for (const v of op.outputs) if (v !== null) dependsOnWafer.add(v);
  }
  const pasts = new Set(graph.inputs);
  const wanted = new Set<ValueId>();
  const constants = new Set<ValueId>();
  for (const stage of stages) for (const v of stage.inputs) if (!made.has(v)) wanted.add(v);
  for (const at of after)
    for (const v of graph.ops[at].inputs)
      if (v !== null && !dependsOnWafer.has(v) && !graph.constants.has(v)) wanted.add(v);
  for (const v of graph.outputs) if (!dependsOnWafer.has(v)) wanted.add(v);
  // Pasts live on the wafer: the host only asks for their shape.
  const asked = [...wanted].filter((v) => !pasts.has(v) || graph.types[v].shape.length < 4);
  const subgraph = (
    name: string,
    ops: readonly OpId[],
    inputs: readonly ValueId[],
    outputs: readonly ValueId[],
  ): string => {
    const used = new Set(
      ops.flatMap((at) => graph.ops[at].inputs).filter((v): v is ValueId => v !== null && graph.constants.has(v)),
    );
    for (const v of used) if (elementCount(constantOf(graph, v).shape) > FULL_ELEMENTS) constants.add(v);
    const kept = new Map(
      [...used].map((v) => [
        v,
        elementCount(constantOf(graph, v).shape) > FULL_ELEMENTS
          ? relabelled(hostConstant(graph, v), graph.names[v])
          : constantOf(graph, v),
      ]),
    );
    return printGraph({ ...graph, name, ops: ops.map((at) => graph.ops[at]), constants: kept, inputs, outputs });
  };
  const results = [...new Set(after.flatMap((at) => graph.ops[at].inputs))].filter(
    (v): v is ValueId =>
      v !== null && !graph.constants.has(v) && !after.some((at) => graph.ops[at].outputs.includes(v)),
  );
  const finals = graph.outputs.filter((v) => after.some((at) => graph.ops[at].outputs.includes(v)));
  return {
    before: subgraph('before', before, graph.inputs, asked),
    after: subgraph('after', after, results, finals),
    constants: [...constants],
  };
}

/** A large host constant as a dense blob of its own, read through `name`. */
function relabelled(constant: Constant, name: string): Constant {
  const bytes = bytesFor(constant.stored, elementCount(constant.shape));
  return {
    ...constant,
    source: {
      label: name,
      byteLength: bytes,
      read: () => {
        throw new Error('a printed constant is not read');
      },
    },
    offset: 0,
    strides: constant.shape.map((_, d) => constant.shape.slice(d + 1).reduce((a, b) => a * b, 1)),
  };
}
