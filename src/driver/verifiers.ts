/** What is verified after every pass of a compilation. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Fact, Program, With } from '../ir/facts.ts';
import { opFor } from '../ops/registry.ts';
import type { Fault } from '../verify/fault.ts';
import { verifyFit } from '../verify/fit.ts';
import { verifyGraph } from '../verify/graph.ts';
import { verifyPlacement } from '../verify/placement.ts';
import { valuesOf } from '../verify/routed.ts';
import { verifyRoutes } from '../verify/routing.ts';
import { verifyTime } from '../verify/time.ts';
import { verifyTransports } from '../verify/transports.ts';

const GRAPH_RULES = { since: (kind: string): readonly number[] | undefined => opFor(kind)?.since };

type Verifier = (program: Program) => readonly Fault[];

/** Recomputed after every pass, by code that shares nothing with the passes. Facts that are not there yet are not verified. */
export function verifiers(): readonly Verifier[] {
  const routes = unlessSame(['stages', 'mapping', 'placement', 'routing', 'schedule'], (p) =>
    hasFacts(p, ['stages', 'mapping', 'placement', 'routing'])
      ? verifyRoutes({ ...p, values: valuesOf(p) }).map(asFault)
      : [],
  );
  const transports = unlessSame(['stages', 'mapping', 'placement', 'routing'], (p) =>
    hasFacts(p, ['stages', 'mapping', 'placement', 'routing'])
      ? verifyTransports({ ...p, values: valuesOf(p) }).map(asFault)
      : [],
  );
  return [
    unlessSame(['graph'], (p) => verifyGraph(p.graph, GRAPH_RULES)),
    unlessSame(['stages', 'mapping', 'placement'], (p) =>
      hasFacts(p, ['stages', 'mapping', 'placement']) ? verifyPlacement(p).map(asFault) : [],
    ),
    unlessSame(['stages', 'mapping', 'placement', 'memory'], (p) =>
      hasFacts(p, ['stages', 'mapping', 'placement', 'memory']) ? verifyFit(p).map(asFault) : [],
    ),
    (p) => {
      const found = routes(p);
      // Transports are walked along the routes, which must be routes for that.
      return found.length > 0 ? found : transports(p);
    },
    (p) =>
      hasFacts(p, ['stages', 'mapping', 'placement', 'routing', 'schedule'])
        ? verifyTime({ ...p, values: valuesOf(p) }).map(asFault)
        : [],
  ];
}

/** What held is not verified again as long as all that it was read from is the same. */
function unlessSame(reads: readonly ('graph' | Fact)[], verify: Verifier): Verifier {
  let held: Program | undefined;
  return (program) => {
    const before = held;
    if (before !== undefined && reads.every((key) => before[key] === program[key])) return [];
    const found = verify(program);
    if (found.length === 0) held = program;
    return found;
  };
}

const hasFacts = <F extends Fact>(p: Program, facts: readonly F[]): p is With<F> =>
  facts.every((f) => p[f] !== undefined);

const asFault = ({ code, message, where }: Diagnostic): Fault => ({
  rule: code.replace('verify/', ''),
  message: where === undefined ? message : `${message} (${where})`,
});
