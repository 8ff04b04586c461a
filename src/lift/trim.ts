/** Cutting away what a form does not use: a slice of a fused projection, the last token of a sequence. */
import { type Form, rebased } from './form.ts';
import type { Lifter } from './lifter.ts';

/** The form over a token value that has no features and tokens but those it uses. */
export function trimmed(l: Lifter, form: Form): Form {
  const { tokens, features } = form.base;
  const usedFeatures = new Uint8Array(features);
  const usedTokens = new Uint8Array(tokens);
  for (const { index } of form.terms) {
    for (const i of index) {
      if (i < 0) continue;
      usedFeatures[i % features] = 1;
      usedTokens[Math.floor(i / features) % tokens] = 1;
    }
  }
  if (usedTokens.includes(0)) {
    return trimmed(
      l,
      oneToken(
        l,
        form,
        [...usedTokens.keys()].filter((t) => usedTokens[t] === 1),
      ),
    );
  }
  return usedFeatures.includes(0)
    ? select(
        l,
        form,
        [...usedFeatures.keys()].filter((f) => usedFeatures[f] === 1),
      )
    : form;
}

function oneToken(l: Lifter, form: Form, kept: readonly number[]): Form {
  if (kept.length !== 1) l.refuse('keeps some of the tokens', 'one token (the first or the last) can be kept, or all');
  const { base } = form;
  const { features, tokens } = base;
  const at = kept[0] === tokens - 1 ? -1 : kept[0];
  const out = l.emit(
    'wafc.tokens',
    [base.value],
    { index: at },
    { ...base, tokens: 1, tokenDim: 1, dtype: l.dtypeOf(base) },
  );
  return rebased(form, out, (i) => Math.floor(i / (features * tokens)) * features + (i % features));
}

/** The form over the token value that has only the features `kept`, ascending. */
function select(l: Lifter, form: Form, kept: readonly number[]): Form {
  const { base } = form;
  const [start] = kept;
  const end = (kept.at(-1) as number) + 1;
  const rank = new Int32Array(base.features).fill(-1);
  for (const [r, f] of kept.entries()) rank[f] = r;
  const key = `${base.value}[${kept}]`;
  let cut = l.cuts.get(key);
  if (cut === undefined) {
    const out = { ...base, features: kept.length, dtype: l.dtypeOf(base) };
    cut =
      end - start === kept.length
        ? l.emit('wafc.slice', [base.value], { start, end }, out)
        : l.emit('wafc.select', [base.value], { indices: kept }, out);
    l.cuts.set(key, cut);
  }
  return rebased(form, cut, (i) => Math.floor(i / base.features) * kept.length + rank[i % base.features]);
}
