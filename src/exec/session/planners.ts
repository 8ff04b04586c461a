/** Who plans which op. An op that is not here runs on its own kernel. */
import { allOps } from '../../ops/registry.ts';
import { ELEMENTWISE } from './elementwise.ts';
import { planMatMulInteger } from './integers.ts';
import { planReduce, planSoftmax } from './lanes.ts';
import { NORMS } from './norms.ts';
import { PRODUCTS } from './products.ts';
import type { Planner } from './step.ts';
import { planCast, planConcat, planGather, planView } from './views.ts';

const views = allOps().flatMap(({ domain, name, view }) =>
  view === undefined ? [] : [[domain === '' ? name : `${domain}.${name}`, planView] as const],
);

export const PLANNERS: ReadonlyMap<string, Planner> = new Map<string, Planner>([
  ...views,
  ['Cast', planCast],
  ['Concat', planConcat],
  ['Gather', planGather],
  ['wafc.embedding', planGather],
  ...ELEMENTWISE,
  ['Softmax', planSoftmax],
  ['ReduceMean', planReduce],
  ['ReduceSum', planReduce],
  ...NORMS,
  ...PRODUCTS,
  ['MatMulInteger', planMatMulInteger],
]);
