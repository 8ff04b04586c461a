/** Codes of an int8 cache, by their definition in src/ir/program.ts. */

const [LEAST, MOST] = [-128, 127];
/** Adding and subtracting it rounds a double of less than 2^51 to an integer, ties to even. */
const MAGIC = 1.5 * 2 ** 52;

/** clip(rne(x / scale), -128, 127). */
export function codeOf(x: number, scale: number): number {
  const units = Math.fround(x / scale);
  return units >= MOST ? MOST : units <= LEAST ? LEAST : units + MAGIC - MAGIC;
}
