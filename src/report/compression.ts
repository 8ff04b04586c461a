/** What the report says of compression: formats, figures of every matrix, and what was measured on a text when the plan was made. */
import { elementCount } from '../ir/constant.ts';
import { codingName } from '../ir/storage.ts';
import type { Plan } from '../plan/types.ts';
import { tileBytes } from '../cost/tile.ts';
import { type SparseFigures, sparseFigures } from './sparse.ts';

/** One matrix; see compression.md section 6.3. */
export interface MatrixFigures {
  readonly node: string;
  readonly format: string;
  readonly bitsPerWeight: number;
  readonly sqnrDb: number | null;
  readonly outputCosine: number | null;
  readonly outputRelativeMse: number | null;
  readonly clipped: number | null;
  readonly density: number;
  /** On the fullest core of its region. */
  readonly bytesPerCore: number;
}

export interface CompressionFigures {
  readonly weights: string;
  readonly kv: string | null;
  /** Share of the weights that are zero; null in a plan made without weights. */
  readonly sparsity: number | null;
  /** Weights stored without their zeros; null when there are none. */
  readonly sparse: SparseFigures | null;
  readonly bitsPerWeight: number;
  /** Over all matrices that were compressed here; null where none was. */
  readonly sqnrDb: number | null;
  /** As --eval measured it when the plan was made; null without. */
  readonly perplexity: { readonly dense: number; readonly compressed: number; readonly text: string } | null;
  /** From the dense model, on the same text. */
  readonly divergence: {
    readonly klMean: number;
    readonly klP99: number;
    readonly agreement: number;
    readonly cosine: number;
    readonly predictions: number;
    readonly window: number;
    readonly tokenizer: string;
  } | null;
  readonly matrices: readonly MatrixFigures[] | null;
}

export function compressionFigures(plan: Plan): CompressionFigures {
  const made = record(record(plan.options).compression);
  const measured = record(made.measured);
  const { dense, compressed, text, klMean, klP99, agreement, cosine } = measured;
  const { predictions, window, tokenizer } = record(measured.protocol);
  return {
    weights: weightFormats(plan),
    kv: kvFormats(plan),
    sparsity: sparsityOf(plan),
    sparse: sparseFigures(plan),
    bitsPerWeight: bitsPerWeight(plan),
    sqnrDb: numberOf(made.sqnrDb),
    perplexity:
      typeof dense === 'number' && typeof compressed === 'number' && typeof text === 'string'
        ? { dense, compressed, text }
        : null,
    divergence:
      typeof klMean === 'number' &&
      typeof klP99 === 'number' &&
      typeof agreement === 'number' &&
      typeof cosine === 'number' &&
      typeof predictions === 'number' &&
      typeof window === 'number' &&
      typeof tokenizer === 'string'
        ? { klMean, klP99, agreement, cosine, predictions, window, tokenizer }
        : null,
    matrices: Array.isArray(made.matrices) ? matrixFigures(plan, made.matrices) : null,
  };
}

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null);

/** Figures of the plan's options, beside the bytes that the plan gives each matrix. */
function matrixFigures(plan: Plan, given: readonly unknown[]): MatrixFigures[] {
  const bytes = bytesByWeight(plan);
  return given.flatMap((entry) => {
    const { node, weight, format, bitsPerWeight: bits, density, ...rest } = record(entry);
    if (typeof node !== 'string' || typeof weight !== 'string' || typeof format !== 'string') return [];
    return [
      {
        node,
        format,
        bitsPerWeight: numberOf(bits) ?? 0,
        sqnrDb: numberOf(rest.sqnrDb),
        outputCosine: numberOf(rest.outputCosine),
        outputRelativeMse: numberOf(rest.outputRelativeMse),
        clipped: numberOf(rest.clipped),
        density: numberOf(density) ?? 1,
        bytesPerCore: bytes.get(weight) ?? 0,
      },
    ];
  });
}

/** Bytes of the largest tile, by name of the weight; a weight that is held in two layouts counts twice. */
function bytesByWeight({ stages, templates }: Plan): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const { template, weights } of stages) {
    const { program } = templates[template];
    const own = new Map<string, number>();
    for (const [i, { name }] of weights.entries())
      own.set(name, (own.get(name) ?? 0) + tileBytes(program.tensors[program.weights[i]], program.shape));
    for (const [name, bytes] of own) found.set(name, Math.max(found.get(name) ?? 0, bytes));
  }
  return found;
}

function kvFormats({ templates }: Plan): string | null {
  const types = templates.flatMap(({ program }) =>
    program.caches.map(({ state, scales }) => (scales === undefined ? program.tensors[state].dtype : 'int8')),
  );
  return types.length === 0 ? null : [...new Set(types)].sort().join('+');
}

/** Formats of the weights in the order of names: `f32+int4:g32`. */
function weightFormats({ stages, templates }: Plan): string {
  const formats = stages.flatMap(({ template, weights }) => {
    const { program } = templates[template];
    return weights.map((_, w) => codingName(program.tensors[program.weights[w]]));
  });
  return [...new Set(formats)].sort().join('+');
}

function sparsityOf({ stages, weights: { zeros } }: Plan): number | null {
  if (zeros === null) return null;
  const elements = stages.reduce((n, s) => n + s.weights.reduce((m, w) => m + elementCount(w.shape), 0), 0);
  return elements === 0 ? 0 : zeros / elements;
}

/** Bits of weights.bin an element: codes, scales, zero points and what fills them up to whole words. */
function bitsPerWeight({ stages }: Plan): number {
  const weights = stages.flatMap((s) => s.weights);
  const elements = weights.reduce((n, w) => n + elementCount(w.shape), 0);
  return elements === 0 ? 0 : weights.reduce((n, w) => n + w.bytes * 8, 0) / elements;
}
