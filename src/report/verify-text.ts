/** What verify found, for people: the worst op of every stage, the outputs, and the first op out of its bound. */
import type { VerifyResult } from './verify-result.ts';
import type { Plan } from '../plan/types.ts';
import { table } from '../util/table.ts';

const exponent = (n: number): string => n.toExponential(1);

/** `everyOp` for one line an op instead of the worst of each stage. */
export function renderVerify(result: VerifyResult, plan: Plan, everyOp = false): string {
  const { ops, outputs, firstOut, generation, perplexity, passed, checks } = result;
  const faults = checks.filter((d) => d.severity === 'error').length;
  const lines = [
    `plan of ${plan.model.name} on ${plan.target.name}: ${passed ? 'verified' : 'NOT verified'}`,
    `on paper: ${faults === 0 ? 'placement, fit and weights hold' : `${faults} faults (see above)`}`,
    '',
    `placed against reference, op by op (${ops.length} results compared)`,
    everyOp ? opTable(result) : stageTable(result),
    'outputs, worst of all inputs tried',
    outputTable(outputs),
  ];
  if (firstOut)
    lines.push(
      `first op out of its bound: ${firstOut.node} in stage ${firstOut.stage}: ${exponent(firstOut.maxRel)} > ${exponent(firstOut.bound)}`,
    );
  if (generation) {
    const others = generation.onnxruntime === null ? 'the reference' : 'the reference and onnxruntime';
    lines.push(
      `${generation.placed.length} greedy tokens with the cache resident: ${generation.agree ? `the same as ${others}` : `DIFFERENT from ${others}`}`,
    );
    if (!generation.agree) lines.push(...differingTokens(generation));
  }
  if (perplexity) {
    const { reference, placed, windows, window, text, tokenizer } = perplexity;
    lines.push(
      `perplexity ${reference.perplexity.toFixed(4)} on ${text} (${tokenizer}): ${reference.nll.toFixed(5)} nats a token over ${windows} windows of ${window}, reference executor`,
      `placed, first window: ${placed.nll.toFixed(5)} nats a token; the reference on the same tokens: ${placed.referenceNll.toFixed(5)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** Every op: how far, and how much noise in what is there. */
function opTable({ ops }: VerifyResult): string {
  const heads = ['  stage', 'op', 'max abs', 'max rel', 'bound', 'cosine', 'SQNR dB', ''];
  return table(
    heads.map((head, i) => ({ head, align: i < 2 || i === 7 ? 'left' : 'right' })),
    ops.map((o) => [
      `  ${o.stage}`,
      o.node,
      ...[o.maxAbs, o.maxRel, o.bound].map(exponent),
      o.cosine.toFixed(9),
      o.sqnrDb === null ? 'exact' : o.sqnrDb.toFixed(1),
      o.maxRel <= o.bound ? '' : 'OUT',
    ]),
  );
}

function stageTable({ ops }: VerifyResult): string {
  const byStage = new Map<string, (typeof ops)[number][]>();
  for (const op of ops) byStage.set(op.stage, [...(byStage.get(op.stage) ?? []), op]);
  const rows = [...byStage].map(([stage, list]) => {
    const worst = list.reduce((a, b) => (b.maxRel > a.maxRel ? b : a));
    return [stage, exponent(worst.maxRel), exponent(worst.maxAbs), exponent(worst.bound), worst.node];
  });
  return table(
    [
      { head: '  stage', align: 'left' },
      { head: 'max rel', align: 'right' },
      { head: 'max abs', align: 'right' },
      { head: 'bound', align: 'right' },
      { head: 'worst op', align: 'left' },
    ],
    rows.map(([stage, ...rest]) => [`  ${stage}`, ...rest]),
  );
}

/** Presents of one kind are one row: 64 of them say nothing more. */
function outputTable(outputs: VerifyResult['outputs']): string {
  const groups = new Map<string, (typeof outputs)[number][]>();
  for (const o of outputs) {
    const key = `${o.of}|${o.output.replaceAll(/\d+/g, '*')}`;
    groups.set(key, [...(groups.get(key) ?? []), o]);
  }
  const rows = [...groups].map(([key, list]) => {
    const [of, output] = key.split('|');
    const worst = list.reduce((a, b) => (b.maxRel > a.maxRel ? b : a));
    const agree = Math.min(...list.map((o) => o.argmaxAgrees));
    return [
      `  ${of}`,
      output,
      exponent(worst.maxRel),
      exponent(Math.max(...list.map((o) => o.maxAbs))),
      exponent(worst.bound),
      `${(agree * 100).toFixed(0)} %`,
    ];
  });
  const heads = ['  comparison', 'output', 'max rel', 'max abs', 'bound', 'argmax agrees'];
  return table(
    heads.map((head, i) => ({ head, align: i < 2 ? 'left' : 'right' })),
    rows,
  );
}

function differingTokens({ placed, reference, onnxruntime }: NonNullable<VerifyResult['generation']>): string[] {
  const show = (ids: readonly number[]): string => ids.join(' ');
  return [
    `  placed       ${show(placed)}`,
    `  reference    ${show(reference)}`,
    ...(onnxruntime ? [`  onnxruntime  ${show(onnxruntime)}`] : []),
  ];
}
