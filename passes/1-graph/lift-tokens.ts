/**
 * lift-tokens: the model token by token.
 *
 * Before  ONNX ops on tensors of any rank, as exporters write them.
 * After   activations are [batch, tokens, features]; embeddings, linear layers, norms, rotations and attention are
 *         wafc.* ops with explicit heads; views are gone. What the host computes from ids, positions, mask and
 *         lengths stays as it was.
 * Skips   a graph that is lifted already, as a plan's own model is. Nothing else: an op that mixes tokens outside of attention is an error that names it.
 *
 * Method: element numbers pushed through the ops at a probe size (src/lift/form.ts). It is run at two sizes, and
 * both must give the same graph; `check=false` leaves the second out, for looks at a model that nothing is made from.
 */
import { fail } from '../../src/diag/diagnostic.ts';
import { printGraph } from '../../src/ir/print.ts';
import { liftAt } from '../../src/lift/lift.ts';
import { isTokenGraph } from '../../src/frontend/token-functions.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { definePass } from '../../src/pass/pass.ts';

const OPTIONS: { readonly check: boolean } = { check: true };

export default definePass({
  name: 'lift-tokens',
  summary: 'see the transformer: token values, attention, rotations',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'reassociates',
  options: OPTIONS,
  run(program, { edit, options }) {
    const { graph, roles } = program;
    if (isTokenGraph(graph)) return program;
    const small = liftAt(graph, roles, { sequence: 2, past: 5 });
    if (options.check && printGraph(small) !== printGraph(liftAt(graph, roles, { sequence: 3, past: 2 }))) {
      fail({
        code: 'lift/size-dependent',
        message: `${graph.name} computes something else at another sequence length`,
        notes: ['the lifted graph was compared at lengths 2 after 5 and 3 after 2'],
      });
    }
    return { ...program, graph: inferTypes(edit(small).finish()) };
  },
});
