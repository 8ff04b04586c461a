/**
 * Steps that compute the same are one: equal ops on equal operands, and the shapes of values of one symbolic type. The types are
 * inferred, and inference takes some things for granted (frontend/infer.ts), so the latter is checked whenever such a value is
 * placed: a {@link TwinFault} tells the session to prepare itself again without.
 */
import { isConstantAttr, isGraphAttr, type Op } from '../../ir/graph.ts';
import { printType, type TensorType } from '../../ir/types.ts';
import { readConstant } from '../../tensor/read.ts';
import { sizeOf, type Tensor } from '../../tensor/tensor.ts';
import { type Slot, tensorOf } from './slot.ts';

/** Constants of at most so many elements are compared by content. */
const SMALL = 64;

/** Of an op that gives the same whenever it reads the same; undefined where that cannot be told. */
function keyOf({ kind, version, attrs }: Op, operands: string): string | undefined {
  const values: unknown[] = [];
  for (const [name, value] of Object.entries(attrs)) {
    if (isGraphAttr(value) || (isConstantAttr(value) && sizeOf(value.shape) > SMALL)) return undefined;
    values.push(name, isConstantAttr(value) ? contentOf(readConstant(value)) : value);
  }
  return `${kind}@${version} ${JSON.stringify(values)} (${operands})`;
}

/** A tensor as text: the same for the same elements. */
function contentOf({ dtype, shape, data, strings }: Tensor): string {
  const elements = strings ?? Array.from(data, (v) => (Object.is(v, -0) ? '-0' : String(v)));
  return `${dtype}[${shape}] ${JSON.stringify(elements)}`;
}

export class Merger {
  private readonly numbers = new Map<Slot, number>();
  private readonly made = new Map<
    string,
    { readonly outputs: readonly (Slot | null)[]; readonly source: Slot | null }
  >();
  private readonly types: ReadonlyMap<Slot, TensorType>;
  /** When slots are computed; those that are not here are fed. */
  private readonly order = new Map<Slot, number>();
  private readonly load: (slot: Slot) => void;

  constructor(types: ReadonlyMap<Slot, TensorType>, load: (slot: Slot) => void) {
    this.types = types;
    this.load = load;
  }

  /** Outputs of an earlier op that computes what `op` does on `inputs`; else `outputs` are remembered for later ones. */
  earlier(
    op: Op,
    inputs: readonly (Slot | null)[],
    outputs: readonly (Slot | null)[],
  ): readonly (Slot | null)[] | undefined {
    const [source] = inputs;
    const type = source === null ? undefined : this.types.get(source);
    const byType = op.kind === 'Shape' && type !== undefined && !source?.known;
    const key = keyOf(op, byType ? printType(type) : inputs.map((slot) => this.nameOf(slot)).join());
    if (key === undefined) return undefined;
    const found = this.made.get(key);
    const isNew = found === undefined || found.outputs.length !== outputs.length;
    if (isNew || (byType && !this.guard(source, found.source))) {
      this.made.set(key, { outputs, source });
      return undefined;
    }
    return found.outputs;
  }

  /** These are computed now, after all that came before. */
  computed(outputs: readonly (Slot | null)[]): void {
    for (const out of outputs) if (out !== null) this.order.set(out, this.order.size);
  }

  /** Has the two compared whenever the later one is placed; what is fed is placed at once, and cannot be. */
  private guard(a: Slot | null, b: Slot | null): boolean {
    if (a === null || b === null || a === b) return a === b;
    const [first, second] = [this.order.get(a) ?? -1, this.order.get(b) ?? -1];
    if (first === second) return false;
    if (first < second) b.twins.push(a);
    else a.twins.push(b);
    return true;
  }

  /** Small constants are told apart by what they hold. */
  private nameOf(slot: Slot | null): string {
    if (slot === null) return '_';
    if (!slot.known || sizeOf(slot.view.shape) > SMALL) return String(this.numberOf(slot));
    this.load(slot);
    return contentOf(tensorOf(slot));
  }

  private numberOf(slot: Slot): number {
    const known = this.numbers.get(slot);
    if (known !== undefined) return known;
    this.numbers.set(slot, this.numbers.size);
    return this.numbers.size - 1;
  }
}
