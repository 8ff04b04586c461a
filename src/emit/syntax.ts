/** Plain data as TypeScript. */

/** A string literal. */
export const quote = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;

/** A key of an object literal. */
export const property = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name));

/** Plain data as TypeScript on one line. */
export function literal(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'number') return numberLiteral(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const fields = Object.entries(value).filter(([, v]) => v !== undefined);
  return fields.length === 0 ? '{}' : `{ ${fields.map(([key, v]) => `${property(key)}: ${literal(v)}`).join(', ')} }`;
}

export const list = (values: ArrayLike<number>): string => `[${Array.from(values, numberLiteral).join(', ')}]`;

export function numberLiteral(value: number): string {
  if (Number.isNaN(value)) return 'Number.NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Number.POSITIVE_INFINITY' : 'Number.NEGATIVE_INFINITY';
  if (Object.is(value, -0)) return '-0';
  // Where a double has no unit digit any more: the largest and smallest integers of ONNX stand for "to the end".
  const power = Math.log2(Math.abs(value));
  if (power > 53 && Number.isInteger(power)) return value < 0 ? `-(2 ** ${power})` : `2 ** ${power}`;
  return String(value);
}
