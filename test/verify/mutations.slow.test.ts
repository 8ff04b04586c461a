/**
 * Single random changes of plans that hold, by hand as it were: every one that changes what the plan does must be found
 * on paper. Whether it does is asked of a replay that knows nothing of the checker (behaviour.ts): changes that turn out
 * to change nothing (an address moved into free space) are not counted. `WAFC_MUTATIONS=1000` tries as many more anywhere
 * in each plan, `WAFC_SEED=7` others.
 */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { openPlanModel } from '../../src/driver/plan-model.ts';
import type { Flow, Phase } from '../../src/ir/routing.ts';
import { checkPlanJson } from '../../src/plan/check.ts';
import type { Plan } from '../../src/plan/types.ts';
import { type Random, randomBelow, randomStream } from '../../src/util/rng.ts';
import { checkCoverage, type WeightOf } from '../../src/verify/coverage.ts';
import { checkPlan } from '../../src/verify/plan.ts';
import { scattered, targetFile } from '../route/support.ts';
import { behaviourOf } from './behaviour.ts';
import { type Draft, mutateAnywhere, pick, type Writable } from './mutate.ts';
import { type Compiled, compileTiny, temporaryFolder } from '../plan/tiny-plan.ts';

interface Case {
  readonly compiled: Compiled;
  readonly weightOf: WeightOf;
  readonly behaviour: string;
}
const SEED = Number(process.env.WAFC_SEED ?? 0) * 1000;
const cases: Case[] = [];
beforeAll(async () => {
  const noSwitches = targetFile(
    { colors: { usable: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], switchable: [] } },
    'mesh-16x16',
  );
  const dead = targetFile({ defects: scattered(16, 16, 6), defectsForward: true }, 'mesh-16x16');
  for (const [name, change] of [
    ['tiny-llama', { target: 'mesh-16x16', layersPerRegion: 1 }],
    ['tiny-gpt2', { target: noSwitches, layersPerRegion: 1 }],
    ['tiny-llama', { target: dead, regions: 2 }],
    ['tiny-bert', { target: 'mesh-8x8' }],
  ] as const) {
    const compiled = await compileTiny(name, change);
    const plan = compiled.json();
    const { weightOf } = openPlanModel(plan, compiled.model);
    cases.push({ compiled, weightOf, behaviour: behaviourOf(plan) });
  }
});

/** A change of plan.json, or of weights.bin; false = there is nothing of the kind to change. */
type Mutation = (plan: Draft, random: Random) => boolean;

interface FlowOf {
  readonly flow: Writable<Flow>;
  /** Other flows that are needed at the same time. */
  readonly others: readonly Writable<Flow>[];
}

/** A flow that a phase uses. */
function phaseFlow(plan: Draft, random: Random): FlowOf & { readonly phase: Writable<Phase> } {
  const withPhases = plan.routing.classes.filter((c) => c.phases.some((list) => list.length > 0));
  const { flows, phases } = pick(withPhases, random);
  const phase = pick(phases.flat(), random);
  const used = phase.flows.filter((f) => f >= 0);
  const chosen = pick(used, random);
  return { phase, flow: flows[chosen], others: used.filter((f) => f !== chosen).map((f) => flows[f]) };
}

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  'a region moved': (plan, random) => {
    const region = pick(plan.regions, random);
    const axis = pick(['x', 'y'] as const, random);
    region[axis] += pick([-1, 1], random);
    return true;
  },
  'a stage in another region': (plan, random) => {
    if (plan.regions.length < 2) return false;
    const stage = pick(plan.stages, random);
    stage.region = (stage.region + 1) % plan.regions.length;
    return true;
  },
  'an address shifted': (plan, random) => {
    const buffer = pick(pick(plan.memory, random).buffers, random);
    if (buffer.bytes === 0) return false;
    buffer.offset += pick([-1, 1], random) * plan.target.alignBytes * (1 + randomBelow(random, 8));
    return true;
  },
  // What is received can be added up wavelet by wavelet: such a buffer may be smaller, but not gone.
  'a buffer made smaller': (plan, random) => {
    const { buffers } = pick(plan.memory, random);
    const buffer = pick(
      buffers.filter(({ bytes }) => bytes > 0),
      random,
    );
    buffer.bytes = buffer.kind === 'receive' ? 0 : Math.floor(buffer.bytes / 2);
    return true;
  },
  'a buffer live for less': (plan, random) => {
    const buffer = pick(
      pick(plan.memory, random).buffers.filter(({ live }) => live[1] > live[0]),
      random,
    );
    buffer.live[1]--;
    return true;
  },
  'a route turned': (plan, random) => {
    const { flow } = phaseFlow(plan, random);
    const run = pick(flow.runs, random);
    const at = randomBelow(random, run.routes.length);
    const [from, to] = run.routes[at].split('>');
    const turned = pick(
      [...'NESW'].filter((p) => p !== from && !to.includes(p)),
      random,
    );
    run.routes[at] =
      `${from}>${[...'NESWR'].filter((p) => (p === to[0] ? false : to.includes(p)) || p === turned).join('')}`;
    return true;
  },
  'a core that does not listen': (plan, random) => {
    const { flow } = phaseFlow(plan, random);
    const run = flow.runs.find(({ routes }) => routes.length === 1 && /.>.+R$/.test(routes[0]));
    if (run === undefined) return false;
    run.routes[0] = run.routes[0].replace(/R$/, '');
    run.input = null;
    return true;
  },
  'a run of routes dropped': (plan, random) => {
    const { flow } = phaseFlow(plan, random);
    flow.runs.splice(randomBelow(random, flow.runs.length), 1);
    return true;
  },
  'a run moved by a core': (plan, random) => {
    const { flow } = phaseFlow(plan, random);
    const span = pick(flow.runs, random)[pick(['columns', 'rows'] as const, random)];
    span[0] += 1;
    return true;
  },
  'colors swapped': (plan, random) => {
    const { flow, others } = phaseFlow(plan, random);
    if (others.length === 0) return false;
    flow.color = pick(others, random).color;
    return true;
  },
  'a color of the system': (plan, random) => {
    phaseFlow(plan, random).flow.color = Math.max(...plan.target.colors.usable) + 1 + randomBelow(random, 3);
    return true;
  },
  'a queue swapped': (plan, random) => {
    const { flow, others } = phaseFlow(plan, random);
    const side = pick(['input', 'output'] as const, random);
    if (side === 'output' && plan.target.queues.outputsShared === true) return false;
    const meeting = flow.runs.flatMap((run) =>
      others.flatMap((other) =>
        other.runs
          .filter(
            (r) =>
              r.columns.join() === run.columns.join() &&
              r.rows.join() === run.rows.join() &&
              r[side] !== null &&
              run[side] !== null,
          )
          .map((r) => ({ run, queue: r[side] })),
      ),
    );
    if (meeting.length === 0) return false;
    const { run, queue } = pick(meeting, random);
    run[side] = queue;
    return true;
  },
  'a queue too many': (plan, random) => {
    const run = pick(phaseFlow(plan, random).flow.runs, random);
    if (run.input === null) run.output = plan.target.queues.output;
    else run.input = plan.target.queues.input;
    return true;
  },
  'a flow dropped': (plan, random) => {
    const { phase } = phaseFlow(plan, random);
    const at = pick(
      phase.flows.flatMap((f, i) => (f >= 0 ? [i] : [])),
      random,
    );
    phase.flows[at] = -1;
    return true;
  },
  'flows exchanged': (plan, random) => {
    const { phase } = phaseFlow(plan, random);
    const [a, b] = [0, 1].map((i) => phase.flows[i]);
    if (a === b) return false;
    [phase.flows[0], phase.flows[1]] = [b, a];
    return true;
  },
  'a write of routes left out': (plan, random) => {
    const { phase } = phaseFlow(plan, random);
    if (phase.loads.length === 0) return false;
    phase.loads.splice(randomBelow(random, phase.loads.length), 1);
    return true;
  },
  'a phase left out': (plan, random) => {
    const list = pick(
      plan.routing.classes.flatMap((c) => c.phases).filter((l) => l.length > 0),
      random,
    );
    list.splice(randomBelow(random, list.length), 1);
    return true;
  },
  'a transport left out': (plan, random) => {
    plan.routing.transports.splice(randomBelow(random, plan.routing.transports.length), 1);
    return true;
  },
  'a transport to one region less': (plan, random) => {
    const { to } = pick(plan.routing.transports, random);
    if (to === null || to.length < 2) return false;
    to.splice(randomBelow(random, to.length), 1);
    return true;
  },
  'a route between regions turned': (plan, random) => {
    const run = pick(pick(plan.routing.flows, random).runs, random);
    const [from, to] = run.routes[0].split('>');
    const turned = pick(
      [...'NESW'].filter((p) => p !== from && !to.includes(p)),
      random,
    );
    run.routes[0] = `${from}>${[...'NESWR'].filter((p) => (p === to[0] ? false : to.includes(p)) || p === turned).join('')}`;
    return true;
  },
  'a core that sends left out': (plan, random) => {
    const transport = pick(
      plan.routing.transports.filter(({ senders }) => senders.length > 0),
      random,
    );
    const rows = transport.senders[0].rows;
    if (rows.length !== 3 || rows[1] < 2) return false;
    rows[1]--;
    return true;
  },
  'a weight at another place of the file': (plan, random) => {
    const blobs = plan.stages.flatMap((stage) => stage.weights).filter(({ bytes }) => bytes > 0);
    pick(blobs, random).offset += 64 * pick([-1, 1], random);
    return true;
  },
  'weights laid out otherwise': (plan, random) => {
    const { program } = pick(
      plan.templates.filter((t) => t.program.weights.length > 0),
      random,
    );
    const { layout } = program.tensors[pick(program.weights, random)];
    layout.dims.reverse();
    return layout.dims.length === 2 && layout.dims[0].join() !== layout.dims[1].join();
  },
  'an op at another time': (plan, random) => {
    pick(pick(plan.schedule.perTemplate, random), random).start += 1 + randomBelow(random, 9);
    return true;
  },
  'another length of the way': (plan, random) => {
    pick(plan.routing.transports, random).hops += pick([-1, 1, 8], random);
    return true;
  },
  'cycles that the links do not allow': (plan, random) => {
    const t = randomBelow(random, plan.templates.length);
    const phases = plan.routing.classes.flatMap((c) => c.templates.flatMap((own, i) => (own === t ? c.phases[i] : [])));
    if (phases.length === 0) return false;
    const { op, wavelets } = pick(phases, random);
    const entry = plan.schedule.perTemplate[t].find((s) => s.op === op);
    if (entry === undefined || wavelets === 0) return false;
    entry.cycles = 0;
    return true;
  },
};

/** A copy of a plan that may be changed. */
const draftOf = ({ compiled }: Case): Draft => JSON.parse(JSON.stringify(compiled.json()));

/** Codes of what is found on paper. */
function findings(plan: Draft, { compiled, weightOf }: Case): string[] {
  const json: unknown = JSON.parse(JSON.stringify(plan));
  const malformed = checkPlanJson(json);
  if (malformed.length > 0) return malformed.map(({ code }) => code);
  const found = checkPlan(json as Plan, compiled.folder, { hashes: false });
  const all = found.length > 0 ? found : checkCoverage(json as Plan, compiled.folder, weightOf);
  return all.map(({ code }) => code);
}

/** A change that changes what the plan does; undefined where a few tries find none. */
function changedBy(mutate: Mutation, one: Case, random: Random): Draft | undefined {
  for (let again = 0; again < 12; again++) {
    const plan = draftOf(one);
    if (mutate(plan, random) && behaviourOf(JSON.parse(JSON.stringify(plan))) !== one.behaviour) return plan;
  }
  return undefined;
}

test('the plans hold, and are known to run', () => {
  for (const one of cases) {
    expect(findings(draftOf(one), one)).toEqual([]);
    expect(one.behaviour).not.toMatch(/^broken/);
  }
});

/** Changes of each kind and plan; and of any kind, in each plan. */
const TRIES = 2;
const ANYWHERE = 25 + Number(process.env.WAFC_MUTATIONS ?? 0);

test('every change of a plan is found', { timeout: 3_600_000 }, () => {
  const table = new Map<string, Map<string, number>>();
  let found = 0;
  const missed: string[] = [];
  const judge = (kind: string, name: string, mutate: Mutation, one: Case, random: Random): void => {
    const plan = changedBy(mutate, one, random);
    if (plan === undefined) return;
    const [first] = findings(plan, one);
    if (first === undefined) missed.push(name);
    else found++;
    const classes = table.get(kind) ?? new Map<string, number>();
    classes.set(first ?? 'MISSED', (classes.get(first ?? 'MISSED') ?? 0) + 1);
    table.set(kind, classes);
  };
  for (const [c, one] of cases.entries()) {
    for (const [kind, mutate] of Object.entries(MUTATIONS))
      for (let i = 0; i < TRIES; i++)
        judge(kind, `${kind}, plan ${c}, try ${i}`, mutate, one, randomStream(SEED + i, `${kind} ${c}`));
    for (let i = 0; i < ANYWHERE; i++) {
      let where = '';
      const anywhere: Mutation = (plan, random) => {
        where = mutateAnywhere(plan, random);
        return true;
      };
      const random = randomStream(SEED + i, `anywhere ${c}`);
      const before = missed.length;
      judge('anywhere', `plan ${c}, change ${i}`, anywhere, one, random);
      if (missed.length > before) missed[before] += `: ${where}`;
    }
  }
  const lines = [...table].map(
    ([name, codes]) => `  ${name}: ${[...codes].map(([code, n]) => `${code} ${n}`).join(', ')}`,
  );
  process.stdout.write(`${found} changes of plans found\n${lines.join('\n')}\n`);
  expect(missed).toEqual([]);
  expect([...table.keys()].sort()).toEqual(['anywhere', ...Object.keys(MUTATIONS)].sort());
  expect(found).toBeGreaterThanOrEqual(200);
});

test('every change of weights.bin is found, digests in step or not', () => {
  const random = randomStream(5, 'weights');
  for (const { compiled, weightOf } of cases) {
    const plan = compiled.json();
    const blobs = plan.stages.flatMap((stage) => stage.weights).filter(({ bytes }) => bytes >= 64);
    for (let i = 0; i < 12; i++) {
      const folder = temporaryFolder();
      cpSync(compiled.folder, folder, { recursive: true });
      const path = join(folder, 'weights.bin');
      const bytes = readFileSync(path);
      const { offset, bytes: length } = pick(blobs, random);
      const [a, b] = [offset, offset + length - 16];
      if (i % 2 === 0) bytes[offset + randomBelow(random, length)] ^= 1 << randomBelow(random, 8);
      else {
        // Two tiles in each other's place: the same bytes, elsewhere.
        const kept = Uint8Array.from(bytes.subarray(a, a + 16));
        if (kept.every((v, k) => v === bytes[b + k])) continue;
        bytes.copyWithin(a, b, b + 16);
        bytes.set(kept, b);
      }
      writeFileSync(path, bytes);
      expect(checkPlan(plan, folder).map(({ code }) => code)).toEqual(['verify/W3', 'verify/W4']);
      expect(checkCoverage(plan, folder, weightOf).map(({ code }) => code)).toEqual(['verify/C3']);
    }
  }
});
