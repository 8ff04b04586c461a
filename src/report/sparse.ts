/** Weights that are stored without their zeros: how full their tiles are, what they take, what could be skipped. */
import { denseTileBytes } from '../cost/tile.ts';
import { elementCount } from '../ir/constant.ts';
import type { SparseKind } from '../ir/sparsity.ts';
import type { Plan } from '../plan/types.ts';
import { formatInteger, formatPercent } from '../util/format.ts';
import { table } from '../util/table.ts';

export interface SparseWeight {
  readonly template: string;
  readonly weight: string;
  readonly kind: SparseKind;
  /** Non-zeros of all elements, over all stages of the template. */
  readonly density: number;
  /** Of a tile. */
  readonly nonZeros: { readonly min: number; readonly mean: number; readonly max: number };
  /** Of the largest tile; `dense`: with its zeros. */
  readonly bytes: number;
  readonly denseBytes: number;
}

export interface SparseFigures {
  readonly weights: readonly SparseWeight[];
  /** By template with sparse weights: the fullest tiles together over the mean ones, at least what the fullest core has over the mean core. */
  readonly fullestOverMean: readonly { readonly template: string; readonly ratio: number }[];
  /** Multiplications of a token that meet a stored zero's place, of all by weights; a core that skips them is not proven faster. */
  readonly skippedShare: number;
}

/** Null where all weights are stored whole. */
export function sparseFigures({ templates, stages }: Plan): SparseFigures | null {
  const weights: SparseWeight[] = [];
  const fullestOverMean: { template: string; ratio: number }[] = [];
  let [all, skipped] = [0, 0];
  for (const [t, { name, program }] of templates.entries()) {
    const count = stages.filter(({ template }) => template === t).length;
    const multiplied = new Set(program.ops.flatMap((op) => (op.op === 'gemv' ? op.weights : [])));
    let [most, mean] = [0, 0];
    for (const at of program.weights) {
      const tensor = program.tensors[at];
      const elements = elementCount(tensor.shape) * count;
      if (multiplied.has(at)) all += elements;
      const { sparsity, ...dense } = tensor;
      if (sparsity === undefined) continue;
      const { kind, nonZeros, tiles, bytes } = sparsity;
      if (multiplied.has(at)) skipped += elements - nonZeros.total;
      most += nonZeros.max;
      mean += nonZeros.total / tiles;
      weights.push({
        template: name,
        weight: tensor.name,
        kind,
        density: nonZeros.total / elements,
        nonZeros: { min: nonZeros.min, mean: nonZeros.total / tiles, max: nonZeros.max },
        bytes,
        denseBytes: denseTileBytes(dense, program.shape),
      });
    }
    if (mean > 0) fullestOverMean.push({ template: name, ratio: most / mean });
  }
  return weights.length === 0 ? null : { weights, fullestOverMean, skippedShare: skipped / all };
}

export function sparseText(figures: SparseFigures | null): string {
  if (figures === null) return '';
  const rows = figures.weights.map(({ template, weight, kind, density, nonZeros, bytes, denseBytes }) => [
    template,
    weight,
    kind,
    formatPercent(density),
    `${nonZeros.min} / ${nonZeros.mean.toFixed(1)} / ${nonZeros.max}`,
    formatInteger(denseBytes),
    formatInteger(bytes),
  ]);
  const heads = [
    'template',
    'weight',
    'stored as',
    'density',
    'non-zeros a tile, min / mean / max',
    'bytes before',
    'after',
  ];
  const text = table(
    heads.map((head, i) => ({ head, align: i < 3 ? 'left' : 'right' })),
    rows,
  );
  const ratios = figures.fullestOverMean.map(
    ({ template, ratio }) => `${template} ${((ratio - 1) * 100).toFixed(1)} %`,
  );
  return `Weights stored without their zeros, largest tiles\n${text.replace(/^(?=.)/gm, '  ')}  fullest core over the mean of its template: at most ${ratios.join(', ')}; multiplications by zero: ${formatPercent(figures.skippedShare)}. That skipping them saves time is unproven.\n`;
}
