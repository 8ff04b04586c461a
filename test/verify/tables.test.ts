/** Rules of stages, layouts, transports and schedule: each fires on a plan that was changed at one place. */
import { beforeAll, expect, test } from 'vitest';
import { checkPlan } from '../../src/verify/plan.ts';
import { type Compiled, compileTiny } from '../plan/tiny-plan.ts';
import type { Draft } from './mutate.ts';

let compiled: Compiled;
beforeAll(async () => {
  compiled = await compileTiny('tiny-llama', { target: 'mesh-16x16', regions: 2 });
});

/** The first stage with a cache, and its program. */
const cached = (plan: Draft) => {
  const at = plan.stages.findIndex(({ template }) => plan.templates[template].program.caches.length > 0);
  const stage = plan.stages[at];
  return { at, stage, program: plan.templates[stage.template].program };
};
const tensorsOf = (plan: Draft, kind: string) => {
  const { program } = cached(plan);
  const op = program.ops.find((o) => o.op === kind);
  if (op === undefined) throw new Error(`no ${kind}`);
  return { op, tensors: program.tensors };
};

test.each<[string, string, (plan: Draft) => void]>([
  ['S1', 'reads nowhere, which nothing has made by then', (p) => (p.stages[1].inputs[0] = 'nowhere')],
  ['S1', 'reads a value twice', (p) => (cached(p).stage.inputs[1] = cached(p).stage.inputs[0])],
  ['S2', 'which is there already', (p) => (p.stages[1].outputs[0] = p.stages[0].outputs[0])],
  ['S2', 'nothing makes lost, which the model gives', (p) => p.outputs.push({ ...p.outputs[0], name: 'lost' })],
  [
    'S3',
    'which is made as',
    (p) => {
      const { stage, program } = cached(p);
      const input = stage.inputs.findIndex((name) => p.stages[0].outputs.includes(name));
      const tensor = program.tensors[program.inputs[input]?.tensor ?? -1];
      tensor.shape = [...tensor.shape.slice(0, -1), 16];
    },
  ],
  [
    'S4',
    'as the past of',
    (p) => {
      const { stage, program } = cached(p);
      const [a, b] = program.caches.filter(({ past }) => past >= 0).map(({ past }) => past);
      [stage.inputs[a], stage.inputs[b]] = [stage.inputs[b], stage.inputs[a]];
    },
  ],
  [
    'D1',
    'rows of',
    (p) => {
      const { op, tensors } = tensorsOf(p, 'gemv');
      if (op.op === 'gemv') tensors[op.weights[0]].layout.dims.reverse();
    },
  ],
  [
    'D1',
    'owes a sum over not',
    (p) => {
      const { op, tensors } = tensorsOf(p, 'gemv');
      if (op.op === 'gemv') tensors[op.outputs[0]].layout.partial = null;
    },
  ],
  [
    'D2',
    'is cut',
    (p) => {
      const { op, tensors } = tensorsOf(p, 'binary');
      if (op.op === 'binary') tensors[op.out].layout.dims = [[], ['xo']];
    },
  ],
  [
    'D3',
    'is reduced over',
    (p) => {
      const { op } = tensorsOf(p, 'all_reduce');
      if (op.op === 'all_reduce') op.axes = ['y', 'xo', 'xi'];
    },
  ],
  ['R6', 'is carried twice', (p) => p.routing.transports.push(p.routing.transports[0])],
  ['R6', 'before', (p) => p.routing.transports.reverse()],
  ['R6', 'cross its busiest link', (p) => (sendOf(p).wavelets += 1)],
  ['R6', 'its longest way has', (p) => (sendOf(p).hops -= 1)],
  ['R6', 'pass it on, stated', (p) => (sendOf(p).depth += 1)],
  [
    'R8',
    'both have color',
    (p) => {
      const flows = p.routing.classes.find((c) => c.flows.length > 0)?.flows ?? [];
      p.routing.flows[p.routing.transports[0].flows[0]].color = flows[0].color;
      for (const flow of p.routing.flows) flow.color = flows[0].color;
    },
  ],
  ['T1', 'the one before ends at', (p) => (p.schedule.perTemplate[0][0].start = 1)],
  ['T2', 'cycles and a bound of', (p) => (p.schedule.perTemplate[0][0].bound = 1_000_000)],
  ['T2', 'takes at least', (p) => (p.schedule.sends[0].cycles = 1)],
  ['T3', 'a step takes', (p) => (p.schedule.host.cyclesIn += 1)],
  ['T3', 'the bound of a step is', (p) => (p.schedule.cyclesPerStep.bound += 1)],
  ['T4', 'sends, the routes have', (p) => p.schedule.sends.pop()],
  ['T4', 'its phases by', (p) => (p.schedule.perTemplate[0][0].algorithm = 'chain')],
  ['T5', 'the host gives', (p) => (p.schedule.host.bytesIn += 1)],
  ['T5', 'the host takes', (p) => (p.schedule.host.bytesOut += 1)],
])('%s: %s', (rule, message, change) => {
  const plan: Draft = JSON.parse(JSON.stringify(compiled.json()));
  change(plan);
  const found = checkPlan(JSON.parse(JSON.stringify(plan)), compiled.folder, { hashes: false }).filter(
    (d) => d.code === `verify/${rule}`,
  );
  expect(found.map((d) => d.message).join('\n')).toContain(message);
});

const sendOf = (plan: Draft) => {
  const send = plan.routing.transports.find(({ kind }) => kind === 'send');
  if (send === undefined) throw new Error('nothing is sent');
  return send;
};
