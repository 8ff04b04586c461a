/** Rotary embedding over heads: the one rotation behind ai.onnx, com.microsoft and wafc.rope. */
import { allocate, type Tensor, type TensorData, tensor } from '../../tensor/tensor.ts';
import type { Heads } from './attention.ts';
import { stored } from './elementwise.ts';

export interface Angles {
  readonly cos: TensorData;
  readonly sin: TensorData;
  /** Where the angles of one position start; one per pair. */
  at(batch: number, position: number): number;
  /** Rotated pairs per head; features beyond 2 * pairs pass through. */
  readonly pairs: number;
  /** Pairs are (2i, 2i + 1), else (i, i + pairs). */
  readonly interleaved: boolean;
}

/** `x`, seen as `heads`, with every head vector rotated: (a, b) becomes (a cos - b sin, b cos + a sin). */
export function rotate(x: Tensor, heads: Heads, angles: Angles): Tensor {
  const { cos, sin, pairs, interleaved } = angles;
  const out = allocate(x.dtype, x.data.length);
  out.set(x.data);
  const step = interleaved ? 2 : 1;
  const apart = interleaved ? 1 : pairs;
  for (let b = 0; b < heads.batch; b++) {
    for (let s = 0; s < heads.length; s++) {
      const angle = angles.at(b, s);
      for (let h = 0; h < heads.heads; h++) {
        const start = b * heads.steps[0] + h * heads.steps[1] + s * heads.steps[2];
        for (let i = 0; i < pairs; i++) {
          const left = start + i * step;
          const right = left + apart;
          out[left] = x.data[left] * cos[angle + i] - x.data[right] * sin[angle + i];
          out[right] = x.data[right] * cos[angle + i] + x.data[left] * sin[angle + i];
        }
      }
    }
  }
  return tensor(x.dtype, x.shape, stored(x.dtype, out));
}
