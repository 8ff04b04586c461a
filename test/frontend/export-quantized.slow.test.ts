/** Exported quantized constants in onnxruntime: what it computes is what the reference executor computes. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compare } from '../../src/exec/compare.ts';
import { hasOnnxruntime, openOnnxruntime } from '../../src/exec/onnxruntime.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { exportModel } from '../../src/frontend/export.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { randomStream } from '../../src/util/rng.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { randomFeeds } from '../support/numerics.ts';
import { graphOf, QUANTIZED_CASES } from './quantized-graphs.ts';

const absent = !hasOnnxruntime();
// oxlint-disable-next-line no-console -- a skipped oracle must be seen
if (absent) console.warn('skipped: onnxruntime-node is not installed, so exported weights are not run by it');
const folder = temporaryFolder();

describe.skipIf(absent)('onnxruntime', () => {
  test.each(QUANTIZED_CASES.filter(({ noKernel }) => !noKernel))('$name', async (drawn) => {
    const graph = graphOf(drawn);
    const path = join(folder, 'model.onnx');
    writeModel(path, exportModel(graph, 'test'));
    const session = await openOnnxruntime(path);
    const feeds = randomFeeds(graph, randomStream(1, 'feeds'), 1);
    const [expected] = runGraph(graph, feeds).values();
    const [found] = (await session.run(feeds)).values();
    expect(found.shape).toEqual(expected.shape);
    expect(compare(found, expected).maxRel).toBeLessThan(drawn.use === 'half' ? 2e-3 : 1e-6);
  });
});
