/** Names for generated code: identifiers from ONNX names, and one text for names that differ by their numbers. */
import { quote } from './syntax.ts';

const RESERVED = new Set(
  (
    'break case catch class const continue debugger default delete do else enum export extends false finally for function if import in ' +
    'instanceof new null return super switch this throw true try typeof var void while with yield let static implements interface ' +
    'package private protected public await async of undefined NaN Infinity arguments eval ' +
    // What every emitted file uses itself.
    'op weight blob body host tensor region model run main isMain reference placed placedModel before after inputs k r w Inputs Outputs Tensor'
  ).split(' '),
);

/** Identifiers that are taken in a function; those around it are taken, too. */
export class Names {
  private readonly taken = new Set<string>();
  private readonly outer: Names | undefined;

  constructor(outer?: Names) {
    this.outer = outer;
  }

  private has(name: string): boolean {
    return RESERVED.has(name) || this.taken.has(name) || (this.outer?.has(name) ?? false);
  }

  /** `wanted`, made an identifier, with a number where it is taken. */
  add(wanted: string): string {
    const clean = wanted.replaceAll(/\W+/g, '_').replaceAll(/^_+|_+$/g, '') || 'value';
    const base = /^\d/.test(clean) ? `v${clean}` : clean;
    let name = base;
    for (let n = 2; this.has(name); n++) name = `${base}_${n}`;
    this.taken.add(name);
    return name;
  }
}

/** The telling end of an ONNX name: `/m/layers.0/self_attn/q_proj/MatMul` is q_proj/MatMul, `present.0.key` is all of it. */
export function shortName(name: string, words = 2): string {
  const bare = name.replace(/_output_\d+$/, '');
  const separator = bare.includes('/') ? '/' : '.';
  const parts = bare.split(separator).filter((part) => part !== '');
  const last = parts.slice(-words);
  return (/^\d+$/.test(last[0] ?? '') ? parts.slice(-words - 1) : last)
    .join('_')
    .replace(/^(?:.*_)?layers?[._]\d+_/, '');
}

/**
 * One template literal for a name in instances 0, 1, ..: numbers that grow evenly become expressions of `k`. Undefined for names
 * that differ in another way.
 */
export function nameByInstance(names: readonly string[]): string | undefined {
  const parts = names.map((name) => name.split(/(\d+)/));
  const [first] = parts;
  if (parts.some((p) => p.length !== first.length)) return undefined;
  let text = '';
  let constant = true;
  for (const [i, part] of first.entries()) {
    const values = parts.map((p) => p[i]);
    if (values.every((value) => value === part)) {
      text += part.replaceAll(/[\\`]|\$\{/g, '\\$&');
      continue;
    }
    const [a, b] = values.map(Number);
    if (!/^\d+$/.test(part) || values.some((value, k) => value !== String(a + k * (b - a)))) return undefined;
    text += `\${${affine(a, b - a)}}`;
    constant = false;
  }
  return constant ? quote(names[0]) : `\`${text}\``;
}

function affine(start: number, step: number): string {
  const product = step === 1 ? 'k' : `${step} * k`;
  return start === 0 ? product : step < 0 ? `${start} - ${-step} * k` : `${start} + ${product}`;
}
