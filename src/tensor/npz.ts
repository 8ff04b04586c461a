/**
 * NumPy .npz files: zip archives of .npy entries, stored or deflated, zip64 included. Sizes are believed only as far as
 * the archive can bear them out, so a small file cannot claim a large memory. Encrypted and split archives are refused.
 */
import { readFileSync, statSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { fail } from '../diag/diagnostic.ts';
import { writeFileAtomic } from '../util/files.ts';
import { parseNpy, printNpy } from './npy.ts';
import { sizeOf, type Tensor } from './tensor.ts';

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const STORED = 0;
const DEFLATED = 8;
/** General purpose flags: encrypted; names are UTF-8. */
const ENCRYPTED = 1;
const UTF8 = 0x800;
/** Stands where the zip64 extra field has the number. */
const IN_ZIP64 = 0xffffffff;

/** Largest archive, and largest sum of its entries; node reads files up to 2 GiB at once. */
const MAX_BYTES = 2 ** 31 - 1;
/** Deflate cannot shrink further than this (RFC 1951: 258 bytes in 2 bits). */
const MAX_RATIO = 1032;
const MAX_ENTRIES = 65535;

const refuse = (path: string, expected: string, found: string): never =>
  fail({ code: 'npy/format', message: `${path}: expected ${expected}, found ${found}` });

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  /** Of its local header. */
  readonly offset: number;
}

/** Told of every entry, with the bytes that it unpacks to, before it is unpacked: throws where that is not wanted. */
export type Admit = (name: string, bytes: number) => void;

/** Tensors of a .npz file by name. Throws Diagnosed `npy/format` for anything that is not one. */
export function readNpz(path: string, admit?: Admit): Map<string, Tensor> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile()) refuse(path, 'an .npz file', stat === undefined ? 'none' : 'no file');
  else if (stat.size > MAX_BYTES) refuse(path, `at most ${MAX_BYTES} bytes`, String(stat.size));
  return parseNpz(readFileSync(path), path, admit);
}

/** Tensors that the bytes of an .npz file hold; `label` names them in diagnostics. */
export function parseNpz(bytes: Uint8Array, label: string, admit: Admit = () => {}): Map<string, Tensor> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Map<string, Tensor>();
  let total = 0;
  for (const entry of directory(file, label)) {
    const { name } = entry;
    const where = `${label}: ${name.slice(0, 100)}`;
    if (!name.endsWith('.npy')) refuse(where, 'a name that ends in .npy', 'another');
    const key = name.slice(0, -'.npy'.length);
    if (out.has(key)) refuse(where, 'one entry of this name', 'two');
    total += entry.size;
    if (total > MAX_BYTES) refuse(where, `entries of at most ${MAX_BYTES} bytes in all`, `${total}`);
    admit(key, entry.size);
    const tensor = parseNpy(contents(file, entry, where), where);
    if (sizeOf(tensor.shape) !== tensor.data.length) refuse(where, 'a shape of its elements', `${tensor.shape}`);
    out.set(key, tensor);
  }
  return out;
}

/** The central directory, which alone says what an archive holds. */
function directory(file: Buffer, label: string): Entry[] {
  const { count, start, size } = findDirectory(file, label);
  const end = start + size;
  if (end > file.length) refuse(label, `a directory inside its ${file.length} bytes`, `one at ${start}..${end}`);
  const entries: Entry[] = [];
  let at = start;
  while (at < end) {
    if (at + 46 > end || file.readUInt32LE(at) !== CENTRAL)
      refuse(label, `a directory entry at byte ${at}`, 'other bytes');
    const flags = file.readUInt16LE(at + 8);
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((o) => file.readUInt16LE(at + o));
    const next = at + 46 + nameBytes + extraBytes + commentBytes;
    if (next > end) refuse(label, `a directory entry that ends by byte ${end}`, `one that ends at ${next}`);
    const name = file.toString((flags & UTF8) === 0 ? 'latin1' : 'utf8', at + 46, at + 46 + nameBytes);
    if ((flags & ENCRYPTED) !== 0) refuse(`${label}: ${name}`, 'an entry without a password', 'an encrypted one');
    const extra = file.subarray(at + 46 + nameBytes, at + 46 + nameBytes + extraBytes);
    const [size_, packed, offset] = wide(
      [24, 20, 42].map((o) => file.readUInt32LE(at + o)),
      extra,
      `${label}: ${name}`,
    );
    entries.push({
      name,
      method: file.readUInt16LE(at + 10),
      crc: file.readUInt32LE(at + 16),
      packed,
      size: size_,
      offset,
    });
    at = next;
  }
  if (entries.length !== count) refuse(label, `${count} directory entries`, `${entries.length}`);
  return entries;
}

function findDirectory(file: Buffer, label: string): { count: number; start: number; size: number } {
  // The end record is followed by a comment of at most 65,535 bytes.
  let at = file.length - 22;
  const first = Math.max(0, at - 65535);
  while (at >= first && !(file.readUInt32LE(at) === END && at + 22 + file.readUInt16LE(at + 20) === file.length)) at--;
  if (at < first) refuse(label, 'an .npz file (a zip archive)', 'no end of a zip directory');
  const [disk, first_] = [file.readUInt16LE(at + 4), file.readUInt16LE(at + 6)];
  const [count, size, start] = [file.readUInt16LE(at + 10), file.readUInt32LE(at + 12), file.readUInt32LE(at + 16)];
  if (count !== 0xffff && size !== IN_ZIP64 && start !== IN_ZIP64) {
    if (disk !== 0 || first_ !== 0) refuse(label, 'an archive in one file', 'a part of one');
    return { count, start, size };
  }
  const locator = at - 20;
  if (locator < 0 || file.readUInt32LE(locator) !== LOCATOR64) refuse(label, 'a zip64 locator', 'none');
  const record = number(file, locator + 8, label);
  if (record + 56 > file.length || file.readUInt32LE(record) !== END64) refuse(label, 'a zip64 end record', 'none');
  return {
    count: number(file, record + 32, label),
    size: number(file, record + 40, label),
    start: number(file, record + 48, label),
  };
}

/** 64-bit number at `at`; files that large are refused anyway. */
function number(bytes: Buffer, at: number, label: string): number {
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) refuse(label, 'sizes below 2^53', String(value));
  return Number(value);
}

/** Numbers of a directory entry; those that do not fit 32 bits are in the zip64 extra field, in this order. */
function wide(values: readonly number[], extra: Buffer, label: string): number[] {
  if (!values.includes(IN_ZIP64)) return [...values];
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue;
    const field = extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2));
    let next = 0;
    return values.map((value) => {
      if (value !== IN_ZIP64) return value;
      if (next + 8 > field.length) refuse(label, 'sizes in the zip64 field', 'fewer');
      next += 8;
      return number(field, next - 8, label);
    });
  }
  return refuse(label, 'a zip64 field', 'none');
}

function contents(file: Buffer, { method, crc, packed, size, offset }: Entry, label: string): Uint8Array {
  if (offset + 30 > file.length || file.readUInt32LE(offset) !== LOCAL)
    refuse(label, `an entry at byte ${offset}`, 'other bytes');
  const start = offset + 30 + file.readUInt16LE(offset + 26) + file.readUInt16LE(offset + 28);
  if (start + packed > file.length) refuse(label, `${packed} bytes at ${start}`, `${Math.max(0, file.length - start)}`);
  // Not a Buffer: `slice` of one does not copy, which readers of unaligned elements count on.
  const data = new Uint8Array(file.buffer, file.byteOffset + start, packed);
  const bytes = method === STORED ? data : method === DEFLATED ? inflate(data, size, label) : undefined;
  if (bytes === undefined) return refuse(label, 'a stored or deflated entry', `method ${method}`);
  if (bytes.length !== size) refuse(label, `${size} bytes`, `${bytes.length}`);
  if (crc32(bytes) !== crc) refuse(label, `CRC-32 ${crc.toString(16)}`, crc32(bytes).toString(16));
  return bytes;
}

function inflate(data: Uint8Array, size: number, label: string): Uint8Array {
  if (size > (data.length + 1) * MAX_RATIO)
    refuse(label, `at most ${MAX_RATIO} times its ${data.length} bytes`, `${size}`);
  try {
    return new Uint8Array(inflateRawSync(data, { maxOutputLength: Math.max(1, size) }));
  } catch (error) {
    return refuse(label, `deflated data of ${size} bytes`, error instanceof Error ? error.message : String(error));
  }
}

let table: Uint32Array | undefined;

/** CRC-32 of zip (polynomial 0xedb88320). */
function crc32(bytes: Uint8Array): number {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = (c & 1) === 0 ? c >>> 1 : (c >>> 1) ^ 0xedb88320;
    return c >>> 0;
  });
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = table[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Writes `tensors` as numpy.savez does: stored entries `NAME.npy`. Same tensors, same bytes: all dates are 1980-01-01. */
export function writeNpz(path: string, tensors: ReadonlyMap<string, Tensor>): void {
  if (tensors.size >= MAX_ENTRIES) refuse(path, `fewer than ${MAX_ENTRIES} tensors`, String(tensors.size));
  const parts: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let at = 0;
  for (const [key, tensor] of tensors) {
    const data = printNpy(tensor);
    const name = Buffer.from(`${key}.npy`);
    if (name.length > 0xffff || at + data.length > MAX_BYTES) refuse(path, `at most ${MAX_BYTES} bytes`, 'more');
    // version 2.0, flags, method, time, date (day 1, month 1, 1980), crc, both sizes, length of the name, no extra.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(UTF8, 2);
    common.writeUInt16LE(0x21, 8);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(at, 10);
    central.push(word(CENTRAL), Buffer.from([20, 0]), common, tail, name);
    parts.push(word(LOCAL), common, name, data);
    at += 30 + name.length + data.length;
  }
  const listing = Buffer.concat(central);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(tensors.size, 4);
  end.writeUInt16LE(tensors.size, 6);
  end.writeUInt32LE(listing.length, 8);
  end.writeUInt32LE(at, 12);
  writeFileAtomic(path, Buffer.concat([...parts, listing, word(END), end]));
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
