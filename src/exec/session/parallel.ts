/** Products cut by columns, one part a thread, where they are large enough for that to pay. */
import type { KernelMemory, Kernels } from '../../kernels/memory.ts';
import { PANEL } from '../../kernels/pack.ts';
import { Threads } from '../../kernels/threads.ts';

/** Multiplications below which a product stays on one thread: some 0.2 ms of work, against 0.01 ms to wake another. */
const WORTH = 2 ** 21;

/** The two products of packed matrices. `scratch` of {@link Kernels.gemm_codes} has `panels` parts of `scratchBytes`. */
export interface Products {
  readonly gemm: Kernels['gemm'];
  readonly gemmCodes: Kernels['gemm_codes'];
  /** Threads that may unpack a panel each at one time. */
  readonly panels: number;
}

/** On the calling thread alone. */
const alone = ({ gemm, gemm_codes }: Kernels): Products => ({ gemm, gemmCodes: gemm_codes, panels: 1 });

/** On `count` threads; the same results whatever their number. */
export function products(memory: KernelMemory, count: number): Products {
  if (count <= 1) return alone(memory.kernels);
  const threads = new Threads(memory, count);
  const { gemm, gemmCodes } = alone(memory.kernels);
  return {
    panels: count,
    gemm(a, lda, b, ldb, step, c, ldc, m, n, k, bias) {
      const cuts = cutsOf(threads, m, n, k);
      if (cuts.length < 2) gemm(a, lda, b, ldb, step, c, ldc, m, n, k, bias);
      else
        threads.run(
          'gemm',
          cuts.map(([j, width]) => {
            const row = bias === 0 ? 0 : bias + 4 * j;
            return [a, lda, b + (j / PANEL) * step, ldb, step, c + 4 * j, ldc, m, width, k, row];
          }),
        );
    },
    gemmCodes(a, lda, codes, bits, scales, zeros, stride, block, c, ldc, m, n, k, bias, scratch) {
      const cuts = cutsOf(threads, m, n, k);
      if (cuts.length < 2) gemmCodes(a, lda, codes, bits, scales, zeros, stride, block, c, ldc, m, n, k, bias, scratch);
      else {
        const panelBytes = bits === 8 ? k : Math.ceil(k / 2);
        threads.run(
          'gemm_codes',
          cuts.map(([j, width], i) => {
            const row = bias === 0 ? 0 : bias + 4 * j;
            const own = scratch + i * panelScratch(k);
            const at = [codes + j * panelBytes, bits, scales + 4 * j, zeros + 4 * j, stride, block];
            return [a, lda, ...at, c + 4 * j, ldc, m, width, k, row, own];
          }),
        );
      }
    },
  };
}

/** Bytes that one thread unpacks a panel to. */
export const panelScratch = (k: number): number => 32 * (k + 1);

/** First column and number of columns of every part: whole panels. */
function cutsOf(threads: Threads, m: number, n: number, k: number): [number, number][] {
  if (m * n * k < WORTH) return [];
  const panels = Math.ceil(n / PANEL);
  const parts = Math.min(threads.ready, panels);
  return Array.from({ length: parts }, (_, i) => {
    const [from, to] = [i, i + 1].map((part) => Math.floor((part * panels) / parts) * PANEL);
    return [from, Math.min(to, n) - from];
  });
}
