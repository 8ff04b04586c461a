/**
 * The protobuf wire format over a byte source, through a small window: a field that nobody asks for is skipped
 * without being read. Refuses what ONNX never needs: nesting beyond 64 messages, and structure beyond a budget
 * (a few bytes of file can cost hundreds of bytes of objects, so a hostile file must be stopped by count).
 */
import { fail } from '../diag/diagnostic.ts';
import type { ByteSource } from '../ir/constant.ts';

/** Wire types. */
export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH = 2;
const START_GROUP = 3;
const END_GROUP = 4;
export const FIXED32 = 5;

export const MAX_DEPTH = 64;
/** Estimated bytes of JavaScript objects that one file may cost: 100,000 nodes cost about 1/6 of it. */
const BUDGET = 768 * 2 ** 20;
const MIN_WINDOW = 8 * 1024;
const MAX_WINDOW = 256 * 1024;
const TWO32 = 2 ** 32;

/** A cursor over one source, with the window it reads through and the budget it may spend. */
export class WireReader {
  /** Absolute position of the next byte. */
  pos = 0;
  readonly source: ByteSource;
  /** Halves of the last varint, unsigned. */
  low = 0;
  high = 0;
  private window: Buffer;
  /** The window holds bytes `start .. end` of the source. */
  private start = 0;
  private end = 0;
  private windowSize = MIN_WINDOW;
  private spent = 0;
  private depth = 0;

  /** `bytes`: the whole source when it is in memory, so that nothing is copied. */
  constructor(source: ByteSource, bytes?: Uint8Array) {
    this.source = source;
    this.window = bytes === undefined ? Buffer.alloc(0) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = this.window.length;
  }

  malformed(message: string): never {
    return fail({ code: 'onnx/malformed', message, where: `${this.source.label} byte ${this.pos}` });
  }

  /** Counts `bytes` of objects about to be made. Throws Diagnosed `onnx/too-large`. */
  charge(bytes: number): void {
    this.spent += bytes;
    if (this.spent > BUDGET)
      fail({
        code: 'onnx/too-large',
        message: `more structure (nodes, names, attribute lists) than ${BUDGET / 2 ** 20} MiB of memory can hold`,
        where: `${this.source.label} byte ${this.pos}`,
      });
  }

  /**
   * Calls `visit(field, wire)` for every field up to `end`; where it returns false the field is skipped.
   * `visit` must consume exactly the field's value.
   */
  message(end: number, visit: (field: number, wire: number) => boolean): void {
    if (++this.depth > MAX_DEPTH)
      fail({
        code: 'onnx/too-deep',
        message: `messages are nested more than ${MAX_DEPTH} deep`,
        where: `${this.source.label} byte ${this.pos}`,
      });
    while (this.pos < end) {
      const tag = this.tag(end);
      if (!visit(tag >>> 3, tag & 7)) {
        this.charge(16); // nothing is kept, but a file of nothing else must not take minutes
        this.skip(tag & 7, end);
      }
      if (this.pos > end) this.malformed('a field runs past the end of its message');
    }
    this.depth--;
  }

  /** A length-delimited field's end. Throws when it would leave `end`. */
  delimited(wire: number, end: number): number {
    this.expect(wire, LENGTH);
    this.varint(end);
    const length = this.high * TWO32 + this.low;
    if (length > end - this.pos) this.malformed(`a field of ${length} bytes in a message with ${end - this.pos} left`);
    return this.pos + length;
  }

  /** int64 as a double: exact to 2^53. */
  int64(wire: number, end: number): number {
    this.expect(wire, VARINT);
    this.varint(end);
    return (this.high | 0) * TWO32 + this.low;
  }

  /** int32 and enums; protobuf truncates longer varints. */
  int32(wire: number, end: number): number {
    this.expect(wire, VARINT);
    this.varint(end);
    return this.low | 0;
  }

  float(wire: number, end: number): number {
    this.expect(wire, FIXED32);
    const at = this.need(4, end);
    this.pos += 4;
    return this.window.readFloatLE(at);
  }

  /** Copies `size` bytes (4 or 8) of a fixed-width number to `into[at]`. */
  fixed(size: number, end: number, into: Uint8Array, at: number): void {
    const from = this.need(size, end);
    this.pos += size;
    for (let i = 0; i < size; i++) into[at + i] = this.window[from + i];
  }

  /** UTF-8, malformed sequences replaced. At most `limit` bytes. */
  string(wire: number, end: number, limit = 2 ** 20): string {
    return this.text(this.delimited(wire, end), limit);
  }

  /** A copy of a bytes field of at most `limit` bytes. */
  bytes(wire: number, end: number, limit: number): Uint8Array {
    const stop = this.delimited(wire, end);
    const length = stop - this.pos;
    if (length > limit) this.malformed(`a value of ${length} bytes where ${limit} are the most`);
    this.charge(96 + length);
    const at = this.need(length, stop);
    this.pos = stop;
    return Uint8Array.from(this.window.subarray(at, at + length));
  }

  /** Repeated scalars, packed or not: calls `one(stop)` for each element of this field. */
  repeated(wire: number, end: number, scalarWire: number, one: (wire: number, stop: number) => void): void {
    if (wire !== LENGTH) {
      one(wire, end);
      return;
    }
    const stop = this.delimited(wire, end);
    while (this.pos < stop) one(scalarWire, stop);
  }

  skip(wire: number, end: number): void {
    let groups = 0;
    let kind = wire;
    do {
      if (kind === VARINT) this.varint(end);
      else if (kind === LENGTH) this.pos = this.delimited(LENGTH, end);
      else if (kind === FIXED32 || kind === FIXED64) {
        const size = kind === FIXED32 ? 4 : 8;
        if (end - this.pos < size) this.malformed('the message ends inside a number');
        this.pos += size;
      } else if (kind === START_GROUP) {
        if (++groups > MAX_DEPTH) this.malformed(`groups are nested more than ${MAX_DEPTH} deep`);
      } else if (kind === END_GROUP && groups > 0) groups--;
      else this.malformed(`wire type ${kind} is none of protobuf's`);
      if (groups > 0) kind = this.tag(end) & 7;
    } while (groups > 0);
  }

  /** Reads a base-128 varint into `low` and `high`. */
  varint(end: number): void {
    let at = this.pos - this.start;
    if (at < 0 || this.end - this.pos < 10) at = this.need(Math.min(10, end - this.pos), end);
    const window = this.window;
    const stop = Math.min(at + 10, end - this.start);
    let low = 0;
    let high = 0;
    for (let shift = 0, i = at; i < stop; i++, shift += 7) {
      const byte = window[i];
      if (shift < 28) low |= (byte & 127) << shift;
      else if (shift === 28) {
        low |= (byte & 127) << 28;
        high = (byte & 127) >>> 4;
      } else high |= (byte & 127) << (shift - 32);
      if (byte < 128) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        this.pos += i - at + 1;
        return;
      }
    }
    this.malformed(stop - at < 10 ? 'the message ends inside a number' : 'a number longer than ten bytes');
  }

  /** field * 8 + wire type. */
  private tag(end: number): number {
    this.varint(end);
    if (this.high !== 0 || this.low < 8) this.malformed('a field number outside 1 .. 2^29');
    return this.low;
  }

  private text(stop: number, limit: number): string {
    const length = stop - this.pos;
    if (length > limit) this.malformed(`a name of ${length} bytes where ${limit} are the most`);
    this.charge(32 + length);
    const at = this.need(length, stop);
    this.pos = stop;
    return this.window.toString('utf8', at, at + length);
  }

  private expect(wire: number, wanted: number): void {
    if (wire !== wanted) this.malformed(`wire type ${wire} where ONNX has ${wanted}`);
  }

  /** Makes `count` bytes from `pos` on available; returns their index in the window. */
  private need(count: number, end: number): number {
    if (count > end - this.pos || end > this.source.byteLength) this.malformed('the message ends inside a value');
    if (this.pos < this.start || this.pos + count > this.end) this.refill(count);
    return this.pos - this.start;
  }

  private refill(count: number): void {
    // Grows while reading on, shrinks after a jump: behind each skipped weight stand only a few bytes of interest.
    this.windowSize = this.pos === this.end ? Math.min(this.windowSize * 2, MAX_WINDOW) : MIN_WINDOW;
    const size = Math.min(Math.max(this.windowSize, count), this.source.byteLength - this.pos);
    this.window = Buffer.allocUnsafeSlow(size);
    this.source.read(this.pos, this.window);
    this.start = this.pos;
    this.end = this.pos + size;
  }
}
