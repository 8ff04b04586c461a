/** `wafc emit`: a model as a TypeScript program, placed or not: executor.ts and the model.onnx whose weights it reads. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, EmitArguments } from './contract.ts';
import { fail } from '../diag/diagnostic.ts';
import { emitExecutor } from '../emit/executor.ts';
import { exportModel } from '../frontend/export.ts';
import { importModel } from '../frontend/import.ts';
import type { Program } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { Plan } from '../plan/types.ts';
import { writeModel } from '../onnx/writer.ts';
import { writeFileAtomic, writeFolderAtomic } from '../util/files.ts';
import { packageVersion } from '../util/version.ts';

const generator = (): string => `wafc ${packageVersion()}`;

/** Writes executor.ts beside the model.onnx that `graph` was read from. */
export const writeExecutor = (folder: string, graph: Graph, roles: Program['roles'], plan?: Plan): void => {
  const placed = plan === undefined ? {} : { plan };
  writeFileAtomic(join(folder, 'executor.ts'), emitExecutor({ graph, roles, generator: generator(), ...placed }));
};

/** Writes the folder whole or not at all. @throws Diagnosed when the model cannot be read, or the folder is something else's. */
export async function emit({ model, output, bindings }: EmitArguments): Promise<Answer> {
  const { graph, diagnostics } = importModel(model, { bindings });
  const mayReplace = (existing: string): void => {
    if (!existsSync(join(existing, 'executor.ts')) || existsSync(join(existing, 'plan.json')))
      fail({
        code: 'emit/output',
        message: `${output} exists and is no folder of \`wafc emit\``,
        notes: ['choose another folder with -o, or remove it'],
      });
  };
  await writeFolderAtomic(output, mayReplace, (folder) => {
    const path = join(folder, 'model.onnx');
    writeModel(path, exportModel(graph, generator()));
    // What was written is what is run: names and types are read back.
    const written = importModel(path);
    writeExecutor(folder, written.graph, written.roles.byName);
  });
  const files = ['executor.ts', 'model.onnx'];
  return {
    exitCode: 0,
    diagnostics,
    text: () =>
      `wrote ${files.map((file) => join(output, file)).join(' and ')}\nrun it: npx tsx ${join(output, files[0])} --help\n`,
    json: () => ({ schema: 'wafc.emit/1', model: graph.name, ops: graph.ops.length, folder: output, files }),
  };
}
