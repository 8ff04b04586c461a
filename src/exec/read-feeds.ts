/**
 * Inputs from files: .npz archives by name, .npy and TensorProto (.pb) files one tensor each, and folders of `input_N.pb` as ONNX's own
 * tests have them. What follows from the ids (positions, masks, an empty past) is filled in where it is not given.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fail } from '../diag/diagnostic.ts';
import { denseConstant } from '../ir/constant.ts';
import { bindDim, isKnown } from '../ir/dim.ts';
import { readTensorFile } from '../onnx/reader.ts';
import { readNpy } from '../tensor/npy.ts';
import { type Admit, readNpz } from '../tensor/npz.ts';
import { readConstant } from '../tensor/read.ts';
import { sizeOf, type Tensor, zeros } from '../tensor/tensor.ts';
import { type FeedSpec, randomFeeds } from './feeds-for.ts';

export interface ReadFeeds {
  readonly feeds: Map<string, Tensor>;
  /** Inputs that no file had, and that follow from the others. */
  readonly filled: readonly string[];
}

/**
 * Reads `sources`: `inputs.npz`, `name=file.npy`, `name=file.pb`, `file.pb`, `folder`. With `context`, the most positions that a sequence can
 * have, archives of more than such inputs take are not unpacked.
 * @throws Diagnosed `verify/input`, `npy/format`, `onnx/..`
 */
export function readFeeds(sources: readonly string[], specs: readonly FeedSpec[], context?: number): ReadFeeds {
  const feeds = new Map<string, Tensor>();
  for (const source of sources) {
    for (const [name, value] of tensorsOf(source, specs, feeds, context)) {
      if (feeds.has(name)) refuse(`input ${name} is given twice`);
      feeds.set(name, value);
    }
  }
  for (const { name, role, below } of specs) {
    const bad = role.kind === 'tokens' && below !== undefined ? idBeyond(feeds.get(name), below) : undefined;
    if (bad !== undefined) refuse(`input ${name}: expected ids of 0 to ${(below ?? 1) - 1}, found ${bad}`);
  }
  return { feeds, filled: fill(feeds, specs) };
}

const idBeyond = (ids: Tensor | undefined, below: number): number | undefined =>
  ids && Array.prototype.find.call(ids.data, (id: number) => !(id >= 0 && id < below));

/** Bytes beside the elements: a .npy header is far less. */
const HEADER = 2 ** 16;

/** Refuses entries that no input of the model is, or could be as large as. */
const admitInputs =
  (path: string, specs: readonly FeedSpec[], context: number | undefined): Admit =>
  (name, bytes) => {
    const spec = specs.find((candidate) => candidate.name === name);
    if (spec === undefined)
      return refuse(
        `${path}: the model has no input ${name.slice(0, 100)}`,
        `it has ${specs.map((s) => s.name).join(', ')}`,
      );
    const elements = spec.shape.map((d) => bindDim(d, { B: 1, S: context ?? 0, P: context ?? 0 }));
    if (context === undefined || !elements.every(isKnown)) return;
    const most = 8 * sizeOf(elements) + HEADER;
    if (bytes > most)
      refuse(`${path}: input ${name} has ${bytes} bytes, and a context of ${context} takes at most ${most}`);
  };

const refuse = (message: string, ...notes: readonly string[]): never =>
  fail({ code: 'verify/input', message, ...(notes.length === 0 ? {} : { notes }) });

type Named = readonly (readonly [name: string, value: Tensor])[];

function tensorsOf(
  source: string,
  specs: readonly FeedSpec[],
  given: ReadonlyMap<string, Tensor>,
  context: number | undefined,
): Named {
  const equals = source.indexOf('=');
  const name = existsSync(source) || equals < 0 ? undefined : source.slice(0, equals);
  const path = name === undefined ? source : source.slice(equals + 1);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return refuse(`${path} does not exist`);
  if (stat.isDirectory()) return folderOf(path, specs);
  if (path.endsWith('.npz')) return [...readNpz(path, admitInputs(path, specs, context))];
  if (path.endsWith('.npy')) return [[name ?? onlyOpen(specs, given, path), readNpy(path)]];
  if (path.endsWith('.pb')) {
    const { own, value } = readProto(path);
    const known = specs.some((spec) => spec.name === own) ? own : undefined;
    return [[name ?? known ?? onlyOpen(specs, given, path), value]];
  }
  return refuse(`${path} is no .npz, .npy or .pb file`);
}

/** Where a file does not say which input it is: the one that nothing else gives, and nothing follows for. */
function onlyOpen(specs: readonly FeedSpec[], given: ReadonlyMap<string, Tensor>, path: string): string {
  const open = specs.filter(({ name, role }) => !given.has(name) && !FOLLOWS.has(role.kind));
  if (open.length === 1) return open[0].name;
  return refuse(
    `${path} does not say which input it is`,
    `say so: --input NAME=${path}, where NAME is one of ${specs.map(({ name }) => name).join(', ')}`,
  );
}

/** `input_0.pb`, `input_1.pb`, ..: by position. */
function folderOf(path: string, specs: readonly FeedSpec[]): Named {
  const files = readdirSync(path).flatMap((file) => {
    const number = /^input_(\d+)\.pb$/.exec(basename(file))?.[1];
    return number === undefined ? [] : [{ file, at: Number(number) }];
  });
  if (files.length === 0) return refuse(`${path} has no input_0.pb`);
  return files.map(({ file, at }): readonly [string, Tensor] => {
    if (at >= specs.length) return refuse(`${join(path, file)}: the model has ${specs.length} inputs`);
    return [specs[at].name, readProto(join(path, file)).value];
  });
}

function readProto(path: string): { readonly own: string; readonly value: Tensor } {
  const { name, dtype, shape, source, strings } = readTensorFile(path);
  const value =
    strings === undefined ? readConstant(denseConstant(dtype, shape, source)) : { ...zeros('string', shape), strings };
  return { own: name, value };
}

const FOLLOWS: ReadonlySet<string> = new Set(['positions', 'mask', 'past']);

/** Adds what follows from the ids and the past; gives the names. */
function fill(feeds: Map<string, Tensor>, specs: readonly FeedSpec[]): string[] {
  const missing = specs.filter(({ name, role }) => !feeds.has(name) && FOLLOWS.has(role.kind));
  const fedAs = (kind: string): Tensor | undefined =>
    specs.flatMap(({ name, role }) => (role.kind === kind ? (feeds.get(name) ?? []) : []))[0];
  const [ids, past] = [fedAs('tokens'), fedAs('past')];
  if (ids === undefined || missing.length === 0) return [];
  if (ids.shape.length !== 2)
    return refuse(
      `expected token ids [batch, tokens], found a shape of [${ids.shape}]`,
      'what follows from them was not given',
    );
  const [batch, sequence] = ids.shape;
  const length = past?.shape.length === 4 ? past.shape[2] : 0;
  // One past that is given does not tell what the others hold.
  const open = missing.filter(({ role }) => role.kind !== 'past' || length === 0);
  const made = randomFeeds(open, { batch, sequence, past: length, vocabulary: 1, seed: 0 });
  for (const [name, value] of made) feeds.set(name, value);
  return open.map(({ name }) => name);
}
