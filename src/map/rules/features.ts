/** Cuts, selections and joins of features: done on whole rows, so the features are gathered first. */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import { features } from '../axes.ts';
import type { StageMapper } from '../stage-mapper.ts';

export function mapFeatures(m: StageMapper, op: Op): void {
  const bind = (t: number): void => m.bind(op.outputs[0] as ValueId, t);
  const first = m.value(op.inputs[0] as ValueId);
  if (op.kind === 'wafc.tokens') {
    const out = m.temp(first, [1, m.tensors[first].shape[1]], m.layoutOf(first));
    m.emit({ op: 'token', x: first, index: op.attrs.index as number, out });
    return bind(out);
  }
  const whole = op.inputs.map((v) => m.relaid(m.value(v as ValueId), []));
  const [tokens] = m.tensors[first].shape;
  const width = m.graph.types[op.outputs[0] as ValueId].shape[2] as number;
  const out = m.temp(first, [tokens, width], features([]));
  switch (op.kind) {
    case 'wafc.slice':
      m.emit({ op: 'slice', x: whole[0], start: op.attrs.start as number, end: op.attrs.end as number, out });
      break;
    case 'wafc.select':
      m.emit({ op: 'select', x: whole[0], indices: op.attrs.indices as readonly number[], out });
      break;
    case 'wafc.concat':
      m.emit({ op: 'concat', parts: whole, out });
      break;
    default:
      m.refuse('has no rule for regions yet');
  }
  bind(out);
}
