/**
 * plan-routes: what every router does on every color, and which queues cores bind.
 *
 * Before  facts `stages`, `mapping` and `placement`.
 * After   fact `routing`: routes of all collectives, on the algorithms that the cost model chose, and of all values that enter,
 *         cross or leave the fabric; colors and queues within the target's lists; writes of routes where flows take turns.
 * Skips   the host's ways to copies of the model that stand behind others, with a remark; what finds no color, queue or way is refused.
 */
import { definePass } from '../../src/pass/pass.ts';
import { planRoutes } from '../../src/route/plan-routes.ts';

export default definePass({
  name: 'plan-routes',
  summary: 'give every message its routes, colors and queues',
  requires: ['stages', 'mapping', 'placement'],
  provides: ['routing'],
  preserves: ['stages', 'mapping', 'placement', 'memory'],
  numerics: 'exact',
  options: {},
  run(program, { count, report }) {
    const routing = planRoutes(program);
    count('flows', routing.flows.length + routing.classes.reduce((n, c) => n + c.flows.length, 0));
    count(
      'route writes a stage',
      routing.classes.reduce((n, c) => n + c.phases.flat().reduce((m, p) => m + p.loads.length, 0), 0),
    );
    const copies = program.placement.replicas?.length ?? 0;
    if (copies > 0)
      report({
        code: 'route/copies',
        severity: 'remark',
        message: `routes between host and regions are those of the first copy of the model; ${copies} further copies have none of their own`,
      });
    return { ...program, routing };
  },
});
