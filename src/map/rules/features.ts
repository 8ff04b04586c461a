/** Cuts, selections and joins of features: done on whole rows, so the features are gathered first. */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import { offersOf } from '../bring.ts';
import { byFeatures, cutText, distinctFeatures, WHOLE } from '../cut.ts';
import type { Draft } from '../draft.ts';
import type { Way } from '../way.ts';

export function features(_s: Draft, op: Op): Way[] {
  const result = op.outputs[0] as ValueId;
  return [
    {
      name: 'whole rows',
      wants: op.inputs.map((v) => ({ v: v as ValueId, as: WHOLE })),
      make(d, parts) {
        const [tokens] = d.context.tensors[parts[0]].shape;
        const width = d.context.graph.types[result].shape[2] as number;
        const out = d.temp(parts[0], [tokens, width], d.layout(WHOLE));
        if (op.kind === 'wafc.slice')
          d.emit({ op: 'slice', x: parts[0], start: op.attrs.start as number, end: op.attrs.end as number, out });
        else if (op.kind === 'wafc.select')
          d.emit({ op: 'select', x: parts[0], indices: op.attrs.indices as readonly number[], out });
        else d.emit({ op: 'concat', parts, out });
        d.bind(result, out);
      },
    },
  ];
}

/** One token of all: its features stay cut as they are. */
export function token(s: Draft, op: Op): Way[] {
  const x = op.inputs[0] as ValueId;
  return distinctFeatures(offersOf(s, op, x)).map(
    (axes): Way => ({
      name: `@${cutText(byFeatures(axes))}`,
      wants: [{ v: x, as: byFeatures(axes) }],
      make(d, [t]) {
        const out = d.temp(t, [1, d.context.tensors[t].shape[1]], d.layout(byFeatures(axes)));
        d.emit({ op: 'token', x: t, index: op.attrs.index as number, out });
        d.bind(op.outputs[0] as ValueId, out);
      },
    }),
  );
}
