/** `npm run build:kernels`: src/kernels/gemm.wat as src/kernels/wasm-bytes.ts. A test holds the two together. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import wabt from 'wabt';

const folder = join(import.meta.dirname, '../../src/kernels');
export const BYTES_FILE = join(folder, 'wasm-bytes.ts');

/** The module that the source text describes; throws with wabt's message where it does not parse. */
export async function buildKernels(): Promise<Uint8Array> {
  const features = { simd: true, threads: true };
  const module = (await wabt()).parseWat('gemm.wat', readFileSync(join(folder, 'gemm.wat'), 'utf8'), features);
  // Not validated by wabt, which then forgets that memories may be shared; every engine validates what it loads.
  const { buffer } = module.toBinary({});
  module.destroy();
  return buffer;
}

/** The TypeScript that carries the module. */
export const bytesModule = (bytes: Uint8Array): string => `/** gemm.wat, assembled by \`npm run build:kernels\`. */
export const KERNELS =
  '${Buffer.from(bytes).toString('base64')}';
`;

if (process.argv[1] === import.meta.filename) writeFileSync(BYTES_FILE, bytesModule(await buildKernels()));
