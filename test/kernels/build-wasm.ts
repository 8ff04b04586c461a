/** `npm run build:kernels`: the .wat files of src/kernels as src/kernels/wasm-bytes.ts. A test holds them together. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import wabt from 'wabt';

const folder = join(import.meta.dirname, '../../src/kernels');
export const BYTES_FILE = join(folder, 'wasm-bytes.ts');

/** The modules, by the name of their source without `.wat`. */
export const SOURCES = ['gemm', 'quant', 'rows', 'tile'] as const;

/** The module that a source text describes; throws with wabt's message where it does not parse. */
async function assemble(name: string): Promise<Uint8Array> {
  const features = { simd: true, threads: true };
  const text = readFileSync(join(folder, `${name}.wat`), 'utf8');
  const module = (await wabt()).parseWat(`${name}.wat`, text, features);
  // Not validated by wabt, which then forgets that memories may be shared; every engine validates what it loads.
  const { buffer } = module.toBinary({});
  module.destroy();
  return buffer;
}

/** The TypeScript that carries the modules. */
export async function bytesModule(): Promise<string> {
  const lines = [
    '/** The modules of gemm.wat, quant.wat, rows.wat and tile.wat, assembled by `npm run build:kernels`. */',
  ];
  for (const name of SOURCES) {
    const bytes = Buffer.from(await assemble(name)).toString('base64');
    lines.push(`export const ${name.toUpperCase()} =\n  '${bytes}';`);
  }
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === import.meta.filename) writeFileSync(BYTES_FILE, await bytesModule());
