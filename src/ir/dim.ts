/**
 * Symbolic dimensions: integer polynomials over named symbols, in one normal form, so that
 * `s15 + s70` equals `s70 + s15` and exporter shape arithmetic folds away. A known dim is a
 * plain number. No inequalities: a question that the normal form cannot answer is answered "unknown".
 */

/** A polynomial with at least one symbolic term; monomial (sorted names joined by `*`, '' = constant) -> coefficient. */
export interface SymDim {
  readonly terms: ReadonlyMap<string, number>;
}
export type Dim = number | SymDim;
export type Bindings = Readonly<Record<string, number>>;

/** The symbol `name` as a dim. */
export const sym = (name: string): Dim => ({ terms: new Map([[name, 1]]) });

export const isKnown = (dim: Dim): dim is number => typeof dim === 'number';

const termsOf = (dim: Dim): ReadonlyMap<string, number> => (isKnown(dim) ? new Map([['', dim]]) : dim.terms);

function normal(terms: Map<string, number>): Dim {
  const kept = [...terms].filter(([, c]) => c !== 0).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  if (kept.length === 0) return 0;
  if (kept.length === 1 && kept[0][0] === '') return kept[0][1];
  return { terms: new Map(kept) };
}

export function addDims(a: Dim, b: Dim): Dim {
  if (isKnown(a) && isKnown(b)) return a + b;
  const out = new Map(termsOf(a));
  for (const [mono, c] of termsOf(b)) out.set(mono, (out.get(mono) ?? 0) + c);
  return normal(out);
}

export function mulDims(a: Dim, b: Dim): Dim {
  if (isKnown(a) && isKnown(b)) return a * b;
  const out = new Map<string, number>();
  for (const [ma, ca] of termsOf(a)) {
    for (const [mb, cb] of termsOf(b)) {
      const mono = [...ma.split('*'), ...mb.split('*')]
        .filter((s) => s !== '')
        .sort()
        .join('*');
      out.set(mono, (out.get(mono) ?? 0) + ca * cb);
    }
  }
  return normal(out);
}

export const subDims = (a: Dim, b: Dim): Dim => addDims(a, mulDims(b, -1));

/** `a / b` when it is exact for every binding, else undefined. */
export function divDims(a: Dim, b: Dim): Dim | undefined {
  if (isKnown(a) && isKnown(b)) return b !== 0 && a % b === 0 ? a / b : undefined;
  const divisor = [...termsOf(b)];
  if (divisor.length !== 1) return equalDims(a, b) ? 1 : undefined;
  const [mono, coef] = divisor[0];
  const out = new Map<string, number>();
  for (const [m, c] of termsOf(a)) {
    const rest = m.split('*');
    for (const s of mono === '' ? [] : mono.split('*')) {
      const at = rest.indexOf(s);
      if (at < 0) return undefined;
      rest.splice(at, 1);
    }
    if (c % coef !== 0) return undefined;
    out.set(rest.join('*'), c / coef);
  }
  return normal(out);
}

export const equalDims = (a: Dim, b: Dim): boolean =>
  isKnown(a) && isKnown(b) ? a === b : printDim(a) === printDim(b);

export const equalShapes = (a: readonly Dim[], b: readonly Dim[]): boolean =>
  a.length === b.length && a.every((d, i) => equalDims(d, b[i]));

export const productOf = (dims: readonly Dim[]): Dim => dims.reduce<Dim>(mulDims, 1);

/** Puts numbers in place of the bound symbols; other symbols stay. */
export function bindDim(dim: Dim, bindings: Readonly<Record<string, Dim>>): Dim {
  if (isKnown(dim)) return dim;
  let out: Dim = 0;
  for (const [mono, coef] of dim.terms) {
    let term: Dim = coef;
    for (const name of mono === '' ? [] : mono.split('*')) {
      const value = Object.hasOwn(bindings, name) ? bindings[name] : sym(name);
      term = mulDims(term, value);
    }
    out = addDims(out, term);
  }
  return out;
}

/** Names of the symbols in `dim`, sorted. */
export function symbolsOf(dim: Dim): string[] {
  if (isKnown(dim)) return [];
  return [...new Set([...dim.terms.keys()].flatMap((m) => m.split('*')).filter((s) => s !== ''))].sort();
}

/** `2*S + P - 1`; parsed back by {@link parseDim}. */
export function printDim(dim: Dim): string {
  if (isKnown(dim)) return String(dim);
  const parts = [...dim.terms].filter(([m]) => m !== '');
  const constant = dim.terms.get('') ?? 0;
  let text = '';
  for (const [mono, coef] of parts) {
    const size = Math.abs(coef) === 1 ? mono : `${Math.abs(coef)}*${mono}`;
    text += text === '' ? (coef < 0 ? `-${size}` : size) : coef < 0 ? ` - ${size}` : ` + ${size}`;
  }
  return constant === 0 ? text : `${text} ${constant < 0 ? '-' : '+'} ${Math.abs(constant)}`;
}

/**
 * Reads sums and products of names and integers (what exporters write in `dim_param`: `past + 1`, `s15 + s70`).
 * Anything else (floor division, max) becomes one opaque symbol of that text without blanks.
 */
export function parseDim(text: string): Dim {
  const clean = text.replaceAll(/\s+/g, '');
  if (!/^-?[\w.]+(?:[-+*][\w.]+)*$/.test(clean)) return sym(clean.replaceAll('*', '.'));
  let out: Dim = 0;
  for (const [, sign, product] of clean.matchAll(/([-+]?)([\w.*]+)/g)) {
    let term: Dim = sign === '-' ? -1 : 1;
    for (const factor of product.split('*')) term = mulDims(term, /^\d+$/.test(factor) ? Number(factor) : sym(factor));
    out = addDims(out, term);
  }
  return out;
}
