/**
 * Random numbers that are the same everywhere: sfc32 (Chris Doty-Humphrey, PractRand), seeded from text by
 * 64-bit FNV-1a. Not for secrets. Every pass and every generated constant has its own stream, named after it,
 * so adding one disturbs no other.
 */

/** Uniform in [0, 1), 32 random bits. */
export type Random = () => number;

/** The stream `name` of run `seed`. */
export function randomStream(seed: number, name: string): Random {
  const text = `${seed}/${name}`;
  let [a, b, c, counter] = [hash32(text, 0x811c9dc5), hash32(text, 0x01234567), seed | 0, 1];
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return (sum >>> 0) / 0x1_0000_0000;
  };
  for (let i = 0; i < 12; i++) next(); // mixes the seed words, as the author's seeding does
  return next;
}

/** Normally distributed numbers of mean 0 and deviation 1 (Box-Muller, both values used). */
export function normalStream(random: Random): Random {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

/** Integer in [0, limit). */
export const randomBelow = (random: Random, limit: number): number => Math.floor(random() * limit);

/** 32-bit FNV-1a of the UTF-16 code units of `text`, from `basis` on. */
export function hash32(text: string, basis = 0x811c9dc5): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
