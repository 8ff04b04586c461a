/** Changes of a plan at one place, anywhere in its tables: a number, a word, an entry. For tests of the checker. */
import type { Plan } from '../../src/plan/types.ts';
import { type Random, randomBelow } from '../../src/util/rng.ts';

/** Anything of a parsed plan may be changed. */
export type Writable<T> = T extends readonly (infer E)[]
  ? Writable<E>[]
  : T extends object
    ? { -readonly [K in keyof T]: Writable<T[K]> }
    : T;
export type Draft = Writable<Plan>;

export const pick = <T>(list: readonly T[], random: Random): T => list[randomBelow(random, list.length)];

interface Slot {
  readonly holder: object;
  readonly key: string;
  readonly value: unknown;
  /** The names on the way, without numbers: `routing classes flows color`. */
  readonly path: string;
}

/** Names of things, remarks and digests: no part of what a plan does, or checked by other means. */
const WORDS = new Set(['name', 'values', 'sha256', 'dtype', 'boundBy', 'zeros']);

/** Tables that a checker recomputes. */
const TABLES = ['regions', 'replicas', 'memory', 'routing', 'schedule', 'stages'] as const;

function slotsOf(value: unknown, path: string, found: Slot[]): Slot[] {
  if (typeof value !== 'object' || value === null) return found;
  for (const [key, inner] of Object.entries(value)) {
    const isEntry = Array.isArray(value);
    // Values of transports are what they carry.
    if (!isEntry && WORDS.has(key) && !path.includes('transports')) continue;
    const at = isEntry ? path : `${path} ${key}`;
    found.push({ holder: value, key, value: inner, path: at });
    slotsOf(inner, at, found);
  }
  return found;
}

/** Changes one place of `plan`; gives what kind of place that is. */
export function mutateAnywhere(plan: Draft, random: Random): string {
  const table = pick(TABLES, random);
  const slots = slotsOf(plan[table], table, []);
  if (slots.length === 0) return mutateAnywhere(plan, random);
  // Kinds of places first: there are thousands of some, and one of others.
  const path = pick([...new Set(slots.map((s) => s.path))], random);
  const slot = pick(
    slots.filter((s) => s.path === path),
    random,
  );
  const others = slots.filter((s) => s.path === path && JSON.stringify(s.value) !== JSON.stringify(slot.value));
  const put = (value: unknown): void => {
    Reflect.set(slot.holder, slot.key, value);
  };
  const ways: [string, () => void][] = [];
  if (others.length > 0) ways.push(['as another', () => put(structuredClone(pick(others, random).value))]);
  // Two figures of a schedule that change at once leave their sum as it is; two values of the host that change places, of
  // one type, are a question for the executors.
  const isTwo = (table === 'schedule' && typeof slot.value === 'number') || path === 'stages inputs';
  if (others.length > 0 && !isTwo)
    ways.push([
      'exchanged',
      () => {
        const other = pick(others, random);
        const mine = structuredClone(slot.value);
        put(structuredClone(other.value));
        Reflect.set(other.holder, other.key, mine);
      },
    ]);
  if (typeof slot.value === 'number') {
    const number = slot.value;
    const step = pick([1, 2, 4, 64], random) * pick([-1, 1], random);
    ways.push(['shifted', () => put(number + step)], ['shifted', () => put(number + step)]);
    if (path.endsWith('input') || path.endsWith('output')) ways.push(['gone', () => put(null)]);
  }
  if (Array.isArray(slot.holder) && slot.holder.length > 0) {
    const list: unknown[] = slot.holder;
    ways.push(['left out', () => list.splice(Number(slot.key), 1)]);
    ways.push(['twice', () => list.splice(Number(slot.key), 0, structuredClone(slot.value))]);
  }
  if (typeof slot.value === 'string' && /^[NESWR]>/.test(slot.value)) {
    const ports = [...'NESWR'];
    const turned = `${pick(ports, random)}>${ports.filter(() => randomBelow(random, 3) === 0).join('')}`;
    if (turned !== slot.value) ways.push(['turned', () => put(turned)]);
  }
  if (ways.length === 0) return mutateAnywhere(plan, random);
  const [how, apply] = pick(ways, random);
  apply();
  return `${path} ${how}`;
}
