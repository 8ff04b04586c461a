/** What the routing of a plan must say beyond its form: indices in range, spans that are sets, routes that lead on. */
import type { Flow, Span } from '../ir/routing.ts';
import type { Findings } from './findings.ts';
import type { Plan } from './types.ts';

/** Adds to `found` what is wrong with the routing. Whether routes do what the program needs is a checker's question. */
export function checkRouting({ routing, regions, templates }: Plan, found: Findings): void {
  checkFlows(routing.flows, '/routing/flows', found);
  for (const [i, { from, to, flows, senders }] of routing.transports.entries()) {
    const path = `/routing/transports/${i}`;
    if (from !== null) found.index(`${path}/from`, from, regions.length, 'regions');
    for (const [k, r] of (to ?? []).entries()) found.index(`${path}/to/${k}`, r, regions.length, 'regions');
    checkIndices(flows, `${path}/flows`, routing.flows.length, found);
    for (const [k, { columns, rows }] of senders.entries()) {
      checkSpan(columns, `${path}/senders/${k}/columns`, found);
      checkSpan(rows, `${path}/senders/${k}/rows`, found);
    }
  }
  const seen = new Set<number>();
  for (const [c, { templates: own, flows, phases }] of routing.classes.entries()) {
    const path = `/routing/classes/${c}`;
    checkFlows(flows, `${path}/flows`, found);
    found.count(`${path}/phases`, phases.length, own.length, 'the templates of the class');
    for (const [i, t] of own.entries()) {
      if (!found.index(`${path}/templates/${i}`, t, templates.length, 'templates')) continue;
      if (seen.has(t))
        found.add('plan/index', `${path}/templates/${i}`, `expected every template once, found ${t} again`);
      seen.add(t);
      for (const [k, { op, flows: used, loads }] of (phases[i] ?? []).entries()) {
        found.index(`${path}/phases/${i}/${k}/op`, op, templates[t].program.ops.length, 'ops');
        checkIndices(used, `${path}/phases/${i}/${k}/flows`, flows.length, found);
        checkIndices(loads, `${path}/phases/${i}/${k}/loads`, flows.length, found);
      }
    }
  }
}

function checkIndices(list: readonly number[], path: string, count: number, found: Findings): void {
  for (const [i, index] of list.entries()) if (index !== -1) found.index(`${path}/${i}`, index, count, 'flows');
}

function checkFlows(flows: readonly Flow[], path: string, found: Findings): void {
  for (const [f, { runs }] of flows.entries()) {
    if (found.full) return;
    for (const [r, { columns, rows, routes }] of runs.entries()) {
      const at = `${path}/${f}/runs/${r}`;
      checkSpan(columns, `${at}/columns`, found);
      checkSpan(rows, `${at}/rows`, found);
      for (const [k, route] of routes.entries())
        if (route.slice(2).includes(route[0]))
          found.add('plan/range', `${at}/routes/${k}`, `expected ports other than ${route[0]} after >, found ${route}`);
    }
  }
}

/** Start and pairs; what a pair repeats is shorter than its period. */
function checkSpan(span: Span, path: string, found: Findings): void {
  let extent = 1;
  for (let i = 1; i < span.length; i += 2) {
    const [count, period] = [span[i], span[i + 1]];
    if (period === undefined || count < 1 || period < extent) {
      found.add(
        'plan/range',
        path,
        `expected pairs of a count and a period of at least ${extent}, found ${JSON.stringify(span)}`,
      );
      return;
    }
    extent += (count - 1) * period;
  }
}
