/** Which linear layer gets which format: one for all, others for the head and by name (compression.md section 6.2). */
import { fail } from '../diag/diagnostic.ts';
import type { Linear } from '../eval/linears.ts';
import type { OpId } from '../ir/ids.ts';
import { type Format, isRefusal, parseFormat } from './format.ts';

export interface Assignment {
  /** Of layers that nothing else is said of. */
  readonly format: Format;
  /** Of the layer that gives the model's logits. */
  readonly head: Format;
  /** `pattern=format`, later ones first. */
  readonly overrides: readonly string[];
  /** Patterns of layers that stay as they are. */
  readonly exclude: readonly string[];
}

/** Matches the layer that gives the logits, whatever it is called. */
const HEAD = 'lm_head';
const SHOWN = 6;

/** Formats by layer. @throws Diagnosed `compress/pattern` for a pattern that no layer has, `compress/format` for a word that is none. */
export function formatsFor(linears: readonly Linear[], assignment: Assignment): Map<OpId, Format> {
  const { format, head, overrides, exclude } = assignment;
  const rules = [
    ...overrides.map((rule) => {
      const equals = rule.lastIndexOf('=');
      const pattern = rule.slice(0, Math.max(0, equals));
      if (pattern === '') fail({ code: 'compress/pattern', message: `'${rule}' is not of the form layer=format` });
      return { pattern, format: readFormat(rule.slice(equals + 1)) };
    }),
    ...exclude.map((pattern) => ({ pattern, format: { kind: 'keep' } satisfies Format })),
  ];
  for (const { pattern } of rules) {
    if (linears.some((linear) => matches(linear, pattern))) continue;
    const names = linears.slice(0, SHOWN).map(({ node }) => node);
    fail({
      code: 'compress/pattern',
      message: `no layer is called '${pattern}'`,
      notes: [
        `layers are called ${names.join(', ')}${linears.length > SHOWN ? ' ..' : ''}; ${HEAD} is the one that gives the logits`,
      ],
    });
  }
  return new Map(
    linears.map((linear) => {
      const rule =
        rules.findLast(({ pattern }) => pattern === linear.name) ??
        rules.findLast(({ pattern }) => matches(linear, pattern));
      return [linear.op, rule?.format ?? (linear.isHead ? head : format)];
    }),
  );
}

/** The format of a word. @throws Diagnosed `compress/format`. */
export function readFormat(word: string): Format {
  const format = parseFormat(word);
  if (!isRefusal(format)) return format;
  return fail({
    code: 'compress/format',
    message: format.problem,
    notes: [
      'formats are keep, fp16, int8[:row|tensor|gN], int4:g32[:signed|asym], int2:gN, fp8[:e4m3|e5m2], mxfp4, mxfp8, mxint8, nvfp4',
    ],
  });
}

/** A pattern is a part of the name, `*` any text; `/` and `.` are alike, as exporters differ in them. */
function matches({ name, node, isHead }: Linear, pattern: string): boolean {
  return (isHead && pattern === HEAD) || [name, node].some((text) => contains(text, pattern));
}

function contains(text: string, pattern: string): boolean {
  const parts = dotted(pattern).split('*');
  let at = 0;
  for (const part of parts) {
    const found = dotted(text).indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return true;
}

const dotted = (text: string): string => text.replaceAll('/', '.');
