/**
 * Storage formats by their words on the command line (compression.md section 6.2): `int8`, `int4:g32:asym`, `fp8:e4m3`, `mxfp4`, `nvfp4`, `fp16`,
 * `keep`. The word of a format is canonical: equal formats have equal words.
 */
import type { DType } from '../ir/types.ts';

/** How integer codes lie around zero: `symmetric` |q| <= 2^(b-1) - 1; `signed`: the largest weight is exact, by a scale with a sign. */
export type GridKind = 'symmetric' | 'signed' | 'asymmetric';

export interface IntegerFormat {
  readonly kind: 'integer';
  readonly bits: number;
  readonly grid: GridKind;
  /** Weights of a row that share a scale; a scale a row; one for all. */
  readonly group: number | 'row' | 'tensor';
}
export interface FloatFormat {
  readonly kind: 'float';
  readonly element: 'f8e4m3fn' | 'f8e5m2';
  readonly group: number | 'row' | 'tensor';
}
/** OCP microscaling: blocks of 32 with a power of two. */
export interface MicroFormat {
  readonly kind: 'micro';
  readonly element: 'f4e2m1' | 'f8e4m3fn' | 'i8';
}
export type Format =
  | { readonly kind: 'keep' }
  | { readonly kind: 'half' }
  | IntegerFormat
  | FloatFormat
  | MicroFormat
  | { readonly kind: 'nvfp4' };

export const KEEP: Format = { kind: 'keep' };
export const INT8: IntegerFormat = { kind: 'integer', bits: 8, grid: 'symmetric', group: 'row' };

/** Weights that share a scale in the block formats (OCP MX v1.0; NVFP4). */
export const MX_BLOCK = 32;
export const NVFP4_BLOCK = 16;

/** What `int4` means without more: groups of 32 with zero points (compression.md section 6.2). */
const DEFAULT_GROUP = 32;

const GRIDS: Readonly<Record<string, GridKind>> = { sym: 'symmetric', signed: 'signed', asym: 'asymmetric' };
const SPELT: Readonly<Record<GridKind, string>> = { symmetric: 'sym', signed: 'signed', asymmetric: 'asym' };
const WHOLE: Readonly<Record<string, Format>> = {
  keep: KEEP,
  fp16: { kind: 'half' },
  mxfp4: { kind: 'micro', element: 'f4e2m1' },
  mxfp8: { kind: 'micro', element: 'f8e4m3fn' },
  mxint8: { kind: 'micro', element: 'i8' },
  nvfp4: { kind: 'nvfp4' },
};

/** What is wrong with a word, for a diagnostic. */
export interface Refusal {
  readonly problem: string;
}

/** Reads the word of a format. */
export function parseFormat(word: string): Format | Refusal {
  if (Object.hasOwn(WHOLE, word)) return WHOLE[word];
  const [base, ...parts] = word.split(':');
  const bits = /^int([2-8])$/.exec(base)?.[1];
  if (bits !== undefined) return parseInteger(Number(bits), parts);
  if (base === 'fp8') return parseFloat8(parts);
  return { problem: `'${word}' is no storage format` };
}

export const isRefusal = (format: Format | Refusal): format is Refusal => 'problem' in format;

function parseInteger(bits: number, parts: readonly string[]): Format | Refusal {
  let group: IntegerFormat['group'] | undefined;
  let grid: GridKind | undefined;
  for (const part of parts) {
    const spread = parseSpread(part);
    if (spread !== undefined && group === undefined) group = spread;
    else if (Object.hasOwn(GRIDS, part) && grid === undefined) grid = GRIDS[part];
    else return { problem: `'${part}' is neither row, tensor or gN, nor sym, signed or asym` };
  }
  // int8 is accurate with a scale a row; fewer bits need groups.
  group ??= bits === 8 ? 'row' : DEFAULT_GROUP;
  grid ??= bits === 8 ? 'symmetric' : 'asymmetric';
  if (bits === 2 && grid === 'symmetric')
    return { problem: '2 bits have no symmetric grid worth the name: signed or asym' };
  return { kind: 'integer', bits, grid, group };
}

function parseFloat8(parts: readonly string[]): Format | Refusal {
  let group: FloatFormat['group'] | undefined;
  let element: FloatFormat['element'] | undefined;
  for (const part of parts) {
    const spread = parseSpread(part);
    if (spread !== undefined && group === undefined) group = spread;
    else if (part === 'e4m3' && element === undefined) element = 'f8e4m3fn';
    else if (part === 'e5m2' && element === undefined) element = 'f8e5m2';
    else return { problem: `'${part}' is neither e4m3 or e5m2, nor row, tensor or gN` };
  }
  return { kind: 'float', element: element ?? 'f8e4m3fn', group: group ?? 'row' };
}

function parseSpread(part: string): number | 'row' | 'tensor' | undefined {
  if (part === 'row' || part === 'tensor') return part;
  const size = Number(/^g(\d{1,6})$/.exec(part)?.[1] ?? 0);
  return size > 0 ? size : undefined;
}

/** The canonical word. */
export function printFormat(format: Format): string {
  switch (format.kind) {
    case 'keep':
      return 'keep';
    case 'half':
      return 'fp16';
    case 'nvfp4':
      return 'nvfp4';
    case 'micro':
      return { f4e2m1: 'mxfp4', f8e4m3fn: 'mxfp8', i8: 'mxint8' }[format.element];
    case 'float':
      return `fp8:${format.element === 'f8e4m3fn' ? 'e4m3' : 'e5m2'}:${printSpread(format.group)}`;
    case 'integer':
      return `int${format.bits}:${printSpread(format.group)}:${SPELT[format.grid]}`;
  }
}

const printSpread = (group: number | 'row' | 'tensor'): string => (typeof group === 'number' ? `g${group}` : group);

/** The narrowest type that codes of a format can be stored as: integers of 3 bits take the room of 4. */
export function storedType(format: Exclude<Format, { kind: 'keep' }>): DType {
  switch (format.kind) {
    case 'half':
      return 'f16';
    case 'nvfp4':
      return 'f4e2m1';
    case 'micro':
    case 'float':
      return format.element;
    case 'integer': {
      const signed = format.grid !== 'asymmetric';
      if (format.bits <= 2) return signed ? 'i2' : 'u2';
      if (format.bits <= 4) return signed ? 'i4' : 'u4';
      return signed ? 'i8' : 'u8';
    }
  }
}
