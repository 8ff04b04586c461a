/**
 * quantize-cache: keys and values kept in few bits.
 *
 * Before  causal attention, and calibration windows for `int8`.
 * After   the same ops with a cache format: `fp16`; `int8`, a scale for each feature of each head, 1/127 of its largest size over the windows; or
 *         `int4:kivi32`, which needs no scales beforehand. What attention reads, and what it returns as present, are the rounded values.
 * Skips   attention that has a format already, and `fp16` where keys and values are as narrow as that. With `shapesOnly`, what the scales are.
 */
import { unknownConstant } from '../../src/compress/unknown.ts';
import { fail } from '../../src/diag/diagnostic.ts';
import { runValues } from '../../src/eval/sequence.ts';
import { bytesSource, type Constant, denseConstant } from '../../src/ir/constant.ts';
import type { Op } from '../../src/ir/graph.ts';
import type { OpId, ValueId } from '../../src/ir/ids.ts';
import { CACHE_FORMATS, isCacheFormat } from '../../src/ops/support/rounded-cache.ts';
import { KEY_SCALES, VALUE_SCALES } from '../../src/ops/wafc-attention.ts';
import { definePass } from '../../src/pass/pass.ts';
import { DTYPE_BITS } from '../../src/ir/types.ts';
import { pack } from '../../src/tensor/pack.ts';

const OPTIONS: { readonly format: string; readonly shapesOnly: boolean } = { format: 'int8', shapesOnly: false };

/** Codes go from -127 to 127 over the windows; beyond them there is one more. */
const HIGHEST = 127;

export default definePass({
  name: 'quantize-cache',
  summary: 'keep keys and values in few bits',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'lossy',
  options: OPTIONS,
  run(program, { options: { format, shapesOnly }, edit: begin, count }) {
    const { graph, calibration } = program;
    if (!isCacheFormat(format))
      return fail({ code: 'compress/cache', message: `'${format}' is none of ${CACHE_FORMATS.join(', ')}` });
    const found = graph.ops.flatMap((op, at) =>
      op.kind === 'wafc.attention' &&
      op.attrs.cache === undefined &&
      !(format === 'fp16' && DTYPE_BITS[graph.types[keyOf(op)].dtype] <= 16)
        ? [{ op, at: at as OpId }]
        : [],
    );
    for (const { op } of found)
      if (op.attrs.causal !== 1)
        fail({
          code: 'compress/cache',
          message: 'attention that sees later tokens keeps no keys and values from step to step',
          node: op.origin.node,
          notes: ['cache formats are for decoders'],
        });
    const edit = begin(graph);
    count('caches', found.length);
    const largest =
      format !== 'int8' || shapesOnly
        ? undefined
        : largestOf(
            program,
            calibration ??
              fail({
                code: 'compress/no-calibration',
                message: 'scales of an int8 cache need keys and values to look at',
                notes: ['give a text with --calib, --calib self, or take --kv int4:kivi32'],
              }),
            found.flatMap(({ op }) => [keyOf(op), valueOf(op)]),
          );
    for (const { op, at } of found) {
      const inputs: (ValueId | null)[] = [...op.inputs];
      while (inputs.length <= VALUE_SCALES) inputs.push(null);
      if (format === 'int8') {
        const scalesFor = (v: ValueId): ValueId => {
          const name = `${graph.names[v]}.scales`;
          return edit.addConstant(name, scalesOf(name, Number(graph.types[v].shape[2]), largest?.get(v)));
        };
        inputs[KEY_SCALES] = scalesFor(keyOf(op));
        inputs[VALUE_SCALES] = scalesFor(valueOf(op));
      }
      while (inputs.at(-1) === null) inputs.pop();
      edit.rewriteOp(at, { inputs, attrs: { ...op.attrs, cache: format } });
    }
    return { ...program, graph: edit.finish() };
  },
});

const keyOf = ({ inputs }: Op): ValueId => inputs[1] as ValueId;
const valueOf = ({ inputs }: Op): ValueId => inputs[2] as ValueId;

/** A feature that was 0 throughout has the scale 1. */
function scalesOf(name: string, features: number, largest: Float64Array | undefined): Constant {
  if (largest === undefined) return unknownConstant(name, 'f32', [features]);
  const scales = Float32Array.from(largest, (most) => Math.fround(most / HIGHEST) || 1);
  return denseConstant('f32', [features], bytesSource(name, pack('f32', scales)));
}

/** Largest size of every feature of the values, over all windows. */
function largestOf(
  model: Parameters<typeof runValues>[0],
  windows: readonly Int32Array[],
  values: readonly ValueId[],
): ReadonlyMap<ValueId, Float64Array> {
  const found = new Map<ValueId, Float64Array>();
  runValues(model, windows, values, (v, { shape, data }) => {
    const features = shape[shape.length - 1];
    const most = found.get(v) ?? new Float64Array(features);
    found.set(v, most);
    for (let i = 0; i < data.length; i++) {
      const size = Math.abs(data[i]);
      if (size > most[i % features]) most[i % features] = size;
    }
  });
  return found;
}
