/** The com.microsoft family: onnxruntime's contrib ops that transformer exports and its optimizer produce. */
import * as activation from './microsoft-activation.ts';
import * as attention from './microsoft-attention.ts';
import * as gqa from './microsoft-gqa.ts';
import * as matmul from './microsoft-matmul.ts';
import * as moe from './microsoft-moe.ts';
import * as nbits from './microsoft-nbits.ts';
import * as norm from './microsoft-norm.ts';
import type { OpDef } from './op.ts';

export const ops: readonly OpDef[] = [
  ...activation.ops,
  ...norm.ops,
  ...matmul.ops,
  ...nbits.ops,
  ...attention.ops,
  ...gqa.ops,
  ...moe.ops,
];
