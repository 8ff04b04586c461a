/** The compressed model as ONNX of standard ops and onnxruntime's, for other runtimes: `--export-onnx`. */
import { exportModel } from '../frontend/export.ts';
import { lowerGraph } from '../frontend/lower.ts';
import { bytesSource, denseConstant, isQuantized } from '../ir/constant.ts';
import { editGraph } from '../ir/edit.ts';
import type { Graph } from '../ir/graph.ts';
import { writeModel } from '../onnx/writer.ts';
import { pack } from '../tensor/pack.ts';
import { readConstant } from '../tensor/read.ts';
import type { CompressionArguments } from './contract.ts';

/**
 * Writes a token graph. `matmulnbits`: blocks of 16 and more as MatMulNBits, the rest as DequantizeLinear; `qdq`: all as DequantizeLinear;
 * `float`: the values that the codes stand for.
 */
export function writePlainOnnx(
  path: string,
  graph: Graph,
  style: CompressionArguments['onnxStyle'],
  producer: string,
): void {
  const lowered = lowerGraph(style === 'float' ? dequantized(graph) : graph);
  writeModel(path, exportModel(lowered, producer, style === 'qdq' ? 'linear' : 'any'));
}

/** Quantized constants as the values they stand for. */
function dequantized(graph: Graph): Graph {
  const edit = editGraph(graph, 'dequantize');
  for (const [value, constant] of graph.constants) {
    if (!isQuantized(constant)) continue;
    const { dtype, shape, data } = readConstant(constant);
    edit.setConstant(value, denseConstant(dtype, shape, bytesSource(graph.names[value], pack(dtype, data))));
  }
  return edit.finish();
}
