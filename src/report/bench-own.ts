/** Our plans beside the published one: the figures, and their text. */
import { formatInteger } from '../util/format.ts';
import { table } from '../util/table.ts';

export interface SplitFigures {
  /** How the fitted overhead is shared out (OVERHEAD_SPLITS). */
  readonly split: string;
  /** Predicted cycles of a token, of both plans by the same model. */
  readonly publishedCycles: number;
  readonly ownCycles: number;
  readonly speedUp: number;
}

export interface OwnPlan {
  readonly name: 'same work' | 'real model';
  readonly regions: number;
  readonly layersPerRegion: number;
  /** Shape of a layer's region. */
  readonly layer: { readonly width: number; readonly height: number; readonly groups: number };
  /** Of a layer: collectives that span a region axis, and those inside a head's columns. */
  readonly regionWideAllReduces: number;
  readonly localCollectives: number;
  /** Cycles of a token that wavelets, hops and ramps take. */
  readonly publishedCommunication: number;
  readonly ownCommunication: number;
  readonly communicationRatio: number;
  /** The default split first. */
  readonly splits: readonly SplitFigures[];
}

const right = (heads: readonly string[], left: number) =>
  heads.map((head, i) => ({ head, align: i < left ? ('left' as const) : ('right' as const) }));

const NAMES: Readonly<Record<string, string>> = {
  even: 'even (default)',
  collectives: 'all on collectives',
  compute: 'all on compute',
};

export function renderOwn(plans: readonly OwnPlan[]): string {
  const communication = table(
    right(['plan', 'layer on', 'layers/region', 'regions', 'region-wide', 'local', 'published', 'ours', 'ratio'], 1),
    plans.map((p) => [
      p.name,
      `${p.layer.width}x${p.layer.height}`,
      String(p.layersPerRegion),
      String(p.regions),
      String(p.regionWideAllReduces),
      String(p.localCollectives),
      formatInteger(p.publishedCommunication),
      formatInteger(p.ownCommunication),
      p.communicationRatio.toFixed(2),
    ]),
  );
  const speed = table(
    right(['plan', 'overhead', 'published', 'ours', 'speed-up'], 2),
    plans.flatMap((p) =>
      p.splits.map((s) => [
        p.name,
        NAMES[s.split] ?? s.split,
        formatInteger(s.publishedCycles),
        formatInteger(s.ownCycles),
        `${s.speedUp.toFixed(2)}x`,
      ]),
    ),
  );
  const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');
  return (
    'Our plans beside the published one for LLaMA3-8B on 420x420, both predicted by the same model, cycles per token, layers only\n' +
    '  same work: no grouped queries, padded dims, at most as many cores. real model: grouped queries, everything resident, sends included\n' +
    `Communication (collectives per layer, cycles of wavelets, hops and ramps)\n${indent(communication)}` +
    `Time, by how the fitted overhead is shared out (an assumption; plans are made with the even split)\n${indent(speed)}`
  );
}
