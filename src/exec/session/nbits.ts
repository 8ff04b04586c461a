/** The codes of a com.microsoft.MatMulNBits as the kernels take them. */
import type { CodeSource } from '../../kernels/pack.ts';
import type { Slot } from './slot.ts';
import type { Step, Workshop } from './step.ts';

export interface NBitsForm {
  readonly k: number;
  readonly n: number;
  readonly bias: Slot | null;
  source(): CodeSource;
}

/** Undefined for forms that the plain kernel computes: 2 bits, grouped columns, operands that are not constant. */
export function codesOfNBits(step: Step, shop: Workshop): NBitsForm | undefined {
  const [, codes, scales, zeros, groups, bias] = step.inputs;
  const attrs = step.attrs;
  const [bits, block] = [attrs.int('bits', 4), attrs.int('block_size')];
  const [k, n] = [attrs.int('K'), attrs.int('N')];
  if ((bits !== 4 && bits !== 8) || groups != null || codes === null || scales === null) return undefined;
  if ([codes, scales, zeros, bias].some((slot) => slot != null && !slot.known)) return undefined;
  if (bias != null && bias.dtype !== 'f32') return undefined;
  for (const slot of [codes, scales, zeros, bias]) if (slot != null) shop.load(slot);
  const blocks = Math.ceil(k / block);
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  /** Element `at` of a row of codes that begins at byte `row`. */
  const element = (slot: Slot, row: number, at: number): number => {
    const byte = slot.data[slot.view.offset + row + ((at * bits) >> 3)];
    return bits === 8 ? byte : (byte >> (4 * (at & 1))) & 15;
  };
  return {
    k,
    n,
    bias: bias ?? null,
    source: () => ({
      bits,
      k,
      n,
      block,
      code: (p, j) => element(codes, (j * blocks * block * bits) / 8, p),
      scale: (i, j) => scales.data[scales.view.offset + j * blocks + i],
      zero(i, j) {
        if (zeros == null) return 2 ** (bits - 1);
        return zeros.dtype === 'u8' ? element(zeros, j * zeroBytes, i) : zeros.data[zeros.view.offset + j * blocks + i];
      },
    }),
  };
}
