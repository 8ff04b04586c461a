/**
 * Inputs from files: .npz archives by name, .npy and TensorProto (.pb) files one tensor each, and folders of `input_N.pb` as ONNX's own
 * tests have them. What follows from the ids (positions, masks, an empty past) is filled in where it is not given.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fail } from '../diag/diagnostic.ts';
import { denseConstant } from '../ir/constant.ts';
import { readTensorFile } from '../onnx/reader.ts';
import { readNpy } from '../tensor/npy.ts';
import { readNpz } from '../tensor/npz.ts';
import { readConstant } from '../tensor/read.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { type FeedSpec, randomFeeds } from './feeds-for.ts';

export interface ReadFeeds {
  readonly feeds: Map<string, Tensor>;
  /** Inputs that no file had, and that follow from the others. */
  readonly filled: readonly string[];
}

/**
 * Reads `sources`: `inputs.npz`, `name=file.npy`, `name=file.pb`, `file.pb`, `folder`.
 * @throws Diagnosed `verify/input`, `npy/format`, `onnx/..`
 */
export function readFeeds(sources: readonly string[], specs: readonly FeedSpec[]): ReadFeeds {
  const feeds = new Map<string, Tensor>();
  for (const source of sources) {
    for (const [name, value] of tensorsOf(source, specs, feeds)) {
      if (feeds.has(name)) refuse(`input ${name} is given twice`);
      feeds.set(name, value);
    }
  }
  return { feeds, filled: fill(feeds, specs) };
}

const refuse = (message: string, ...notes: readonly string[]): never =>
  fail({ code: 'verify/input', message, ...(notes.length === 0 ? {} : { notes }) });

type Named = readonly (readonly [name: string, value: Tensor])[];

function tensorsOf(source: string, specs: readonly FeedSpec[], given: ReadonlyMap<string, Tensor>): Named {
  const equals = source.indexOf('=');
  const name = existsSync(source) || equals < 0 ? undefined : source.slice(0, equals);
  const path = name === undefined ? source : source.slice(equals + 1);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return refuse(`${path} does not exist`);
  if (stat.isDirectory()) return folderOf(path, specs);
  if (path.endsWith('.npz')) return [...readNpz(path)];
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
  if (ids === undefined || ids.shape.length !== 2 || missing.length === 0) return [];
  const [batch, sequence] = ids.shape;
  const length = past?.shape.length === 4 ? past.shape[2] : 0;
  // One past that is given does not tell what the others hold.
  const open = missing.filter(({ role }) => role.kind !== 'past' || length === 0);
  const made = randomFeeds(open, { batch, sequence, past: length, vocabulary: 1, seed: 0 });
  for (const [name, value] of made) feeds.set(name, value);
  return open.map(({ name }) => name);
}
