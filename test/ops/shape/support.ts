/** Inference over graphs written as text: types in the text are placeholders, the ones found are what counts. */
import { inferKnowledge } from '../../../src/frontend/infer.ts';
import { printDim } from '../../../src/ir/dim.ts';
import { parseGraph } from '../../../src/ir/parse.ts';
import { printType } from '../../../src/ir/types.ts';

/** `graph <header> -> %outputs { body }`; returns by output name `type` or `type = [values]`. */
export function inferred(header: string, body: string): Record<string, string> {
  const { graph, values } = inferKnowledge(parseGraph(`graph g ${header} {\n${body}\n}`));
  const show = (v: (typeof graph.outputs)[number]): string => {
    const known = values.get(v);
    const type = printType(graph.types[v]);
    return known === undefined ? type : `${type} = [${known.map(printDim).join(', ')}]`;
  };
  return Object.fromEntries(graph.outputs.map((v) => [graph.names[v], show(v)]));
}
