/** Checks what a caller feeds against the graph's inputs, before any op runs. */
import { Diagnosed, type Diagnostic } from '../diag/diagnostic.ts';
import { bindDim, isKnown, printDim, symbolsOf } from '../ir/dim.ts';
import type { Graph } from '../ir/graph.ts';
import { printType } from '../ir/types.ts';
import type { Tensor } from '../tensor/tensor.ts';

/**
 * Every graph input must be fed, with its dtype, rank and dims; a symbol means one number in all inputs.
 * @throws Diagnosed with one diagnostic per input that disagrees.
 */
export function checkFeeds(graph: Graph, feeds: ReadonlyMap<string, Tensor>): void {
  const faults: Diagnostic[] = [];
  const fault = (name: string, expected: string, found: string) =>
    faults.push({
      code: 'exec/feed',
      severity: 'error',
      message: `input ${name}: expected ${expected}, found ${found}`,
    });
  const bindings: Record<string, number> = {};
  const boundBy: Record<string, string> = {};
  for (const input of graph.inputs) {
    const type = graph.types[input];
    const name = graph.names[input];
    const fed = feeds.get(name);
    if (fed === undefined) {
      if (!graph.constants.has(input)) fault(name, printType(type), 'nothing');
      continue;
    }
    if (fed.dtype !== type.dtype || fed.shape.length !== type.shape.length) {
      fault(name, printType(type), printType(fed));
      continue;
    }
    for (const [d, dim] of type.shape.entries()) {
      const wanted = bindDim(dim, bindings);
      const [free] = symbolsOf(wanted);
      if (isKnown(wanted)) {
        if (wanted === fed.shape[d]) continue;
        const [symbol] = symbolsOf(dim);
        const why = symbol === undefined ? '' : ` (${printDim(dim)}, by input ${boundBy[symbol]})`;
        fault(name, `${wanted} at axis ${d}${why}`, String(fed.shape[d]));
      } else if (printDim(wanted) === free) {
        bindings[free] = fed.shape[d];
        boundBy[free] = name;
      }
    }
  }
  const names = new Set(graph.inputs.map((v) => graph.names[v]));
  for (const name of feeds.keys()) {
    if (!names.has(name)) fault(name, `one of ${[...names].join(', ') || 'no inputs'}`, 'a feed of this name');
  }
  if (faults.length > 0) throw new Diagnosed(faults);
}
