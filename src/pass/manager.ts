/**
 * Runs passes in order. Order is checked before any work; after each pass the facts it does not keep are
 * dropped and the program is verified by code that trusts no pass. What else is wanted of a run (dumps, times,
 * numeric checks) observes that one step: observe.ts.
 */
import { Diagnosed, type Diagnostic, type Report } from '../diag/diagnostic.ts';
import { editGraph } from '../ir/edit.ts';
import { FACTS, type Fact, keepFacts, type Program } from '../ir/facts.ts';
import { randomStream } from '../util/rng.ts';
import type { Fault } from '../verify/fault.ts';
import type { AnyPass, PassContext, Step } from './pass.ts';

/** What an observer sees of one pass. */
export interface PassEvent {
  readonly index: number;
  readonly step: Step;
  readonly before: Program;
  readonly after: Program;
  /** Facts that the pass had or made, and did not keep. */
  readonly dropped: readonly Fact[];
  readonly milliseconds: number;
  readonly counts: ReadonlyMap<string, number>;
}
export type Observer = (event: PassEvent) => void;

export interface RunOptions {
  /** Same seed, same program, same steps: same result, byte for byte. */
  readonly seed: number;
  /** Runs only the first `limit` steps that are not skipped. */
  readonly limit: number;
  /** Names of passes that do not run. */
  readonly skip: readonly string[];
  /** All faults of a program; `verifyWith` makes one from the verifiers of graph and facts. */
  readonly verify: (program: Program) => readonly Fault[];
  readonly observers: readonly Observer[];
  readonly report: Report;
  /** A clock in milliseconds, for observers; never visible to a pass. */
  readonly now: () => number;
}

/** Runs nothing extra: no observers, no verification, diagnostics dropped. For tests and small tools. */
export const QUIET: RunOptions = {
  seed: 0,
  limit: Number.POSITIVE_INFINITY,
  skip: [],
  verify: () => [],
  observers: [],
  report: () => {},
  now: () => 0,
};

/** A pass left a program that does not verify: our fault. `before` replays it. */
export class BrokenInvariant extends Error {
  /** Null when the program was broken before any pass. */
  readonly step: Step | null;
  /** Of the pass, -1 for none. */
  readonly index: number;
  readonly before: Program;
  readonly faults: readonly Fault[];
  constructor(step: Step | null, index: number, before: Program, faults: readonly Fault[]) {
    const shown = faults
      .slice(0, 10)
      .map(({ rule, message, node }) => `  ${rule}: ${message}${node ? ` (${node})` : ''}`);
    const more = faults.length > shown.length ? [`  and ${faults.length - shown.length} more`] : [];
    const head =
      step === null ? 'the program is broken before any pass' : `pass ${index} (${step.pass.name}) broke the program`;
    super([head, ...shown, ...more].join('\n'));
    this.name = 'BrokenInvariant';
    this.step = step;
    this.index = index;
    this.before = before;
    this.faults = faults;
  }
}

/** A verifier per fact and one for the graph, as one. Facts that are absent are not verified. */
export function verifyWith(
  hooks: readonly ((program: Program) => readonly Fault[])[],
): (program: Program) => readonly Fault[] {
  return (program) => hooks.flatMap((hook) => hook(program));
}

/** Names each fact that a pass would miss, and the passes that could have given it. */
export function checkOrder(start: Program, steps: readonly Step[]): readonly Diagnostic[] {
  const found: Diagnostic[] = [];
  let known = new Set<Fact>(FACTS.filter((fact) => start[fact] !== undefined));
  for (const [index, { pass }] of steps.entries()) {
    for (const fact of pass.requires) {
      if (known.has(fact)) continue;
      const givers = steps.slice(0, index).filter((s) => s.pass.provides.includes(fact));
      const last = givers.at(-1);
      const dropper = last && steps.slice(steps.indexOf(last) + 1, index).find((s) => !keeps(s.pass, fact));
      found.push({
        code: 'pass/order',
        severity: 'error',
        message: `pass ${index} (${pass.name}) needs '${fact}', which no pass before it leaves`,
        notes: dropper
          ? [`${last.pass.name} gives it, but ${dropper.pass.name} after it does not preserve it`]
          : ['put a pass that provides it earlier in the list (see `wafc passes`)'],
      });
    }
    known = new Set([
      ...FACTS.filter((f) => known.has(f) && keeps(pass, f)),
      ...pass.provides,
      ...pass.requires.filter((f) => keeps(pass, f)),
    ]);
  }
  return found;
}

const keeps = (pass: AnyPass, fact: Fact): boolean => pass.preserves.includes(fact) || pass.provides.includes(fact);

/** Throws Diagnosed on a list that cannot work, BrokenInvariant when a pass leaves a program that does not verify. */
export function runPasses(start: Program, steps: readonly Step[], options: RunOptions): Program {
  const skipped = new Set(options.skip);
  const wanted = steps.filter(({ pass }) => !skipped.has(pass.name)).slice(0, options.limit);
  const missing = checkOrder(start, wanted);
  if (missing.length > 0) throw new Diagnosed(missing);
  const early = options.verify(start);
  if (early.length > 0) throw new BrokenInvariant(null, -1, start, early);
  let program = start;
  for (const [index, step] of wanted.entries()) {
    const { pass } = step;
    const before = program;
    const counts = new Map<string, number>();
    const began = options.now();
    const result = pass.run(before, contextFor(step, counts, options));
    const milliseconds = options.now() - began;
    const promised = pass.provides.filter((fact) => result[fact] === undefined);
    program = keepFacts(result, [...pass.preserves, ...pass.provides]); // the one place where facts die
    const dropped = FACTS.filter((fact) => result[fact] !== undefined && program[fact] === undefined);
    const broken = promised.map((fact) => ({ rule: 'M1', message: `promised '${fact}' and did not give it` }));
    const faults = [...broken, ...options.verify(program)];
    if (faults.length > 0) throw new BrokenInvariant(step, index, before, faults);
    for (const observe of options.observers)
      observe({ index, step, before, after: program, dropped, milliseconds, counts });
  }
  return program;
}

function contextFor({ pass, options }: Step, counts: Map<string, number>, run: RunOptions): PassContext<object> {
  return {
    options,
    random: randomStream(run.seed, pass.name),
    edit: (graph) => editGraph(graph, pass.name),
    report: run.report,
    count(name, by = 1) {
      if (by !== 0) counts.set(name, (counts.get(name) ?? 0) + by);
    },
  };
}
