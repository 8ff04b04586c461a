/**
 * Protobuf messages whose payloads may be larger than memory: small fields are encoded at once, large ones are
 * remembered as streams of known length, so that every length prefix is known before the first byte is written.
 */
import protobuf from 'protobufjs/minimal.js';
import type { ByteSource } from '../ir/constant.ts';

/** Bytes of known total length that come in order. Made afresh for every `chunks()`. */
export interface ChunkSource {
  readonly label: string;
  readonly byteLength: number;
  chunks(): Iterable<Uint8Array>;
}
export type Payload = ByteSource | ChunkSource;

export type Part = Uint8Array | Payload;

const INT64_MAX_TEXT = '9223372036854775807';
const LENGTH = 2;

/** One message under construction: fields are added in order, then it becomes a field of another or is finished. */
export class Message {
  private readonly parts: Part[] = [];
  private partBytes = 0;
  private writer = protobuf.Writer.create();

  /** int64, int32 and enums. Values beyond int64 become its bounds: INT64_MAX is 2^63 as a double. */
  int(field: number, value: number): this {
    this.writer.uint32(field * 8);
    if (value >= 2 ** 63) this.writer.int64(INT64_MAX_TEXT);
    else this.writer.int64(Math.max(value, -(2 ** 63)));
    return this;
  }

  float(field: number, value: number): this {
    this.writer.uint32(field * 8 + 5).float(value);
    return this;
  }

  string(field: number, value: string): this {
    this.writer.uint32(field * 8 + LENGTH).string(value);
    return this;
  }

  /** As {@link string}, left out when empty. */
  name(field: number, value: string | undefined): this {
    return value === undefined || value === '' ? this : this.string(field, value);
  }

  bytes(field: number, value: Uint8Array): this {
    this.writer.uint32(field * 8 + LENGTH).bytes(value);
    return this;
  }

  message(field: number, child: Message): this {
    if (child.parts.length === 0) return this.bytes(field, child.writer.finish());
    const { parts, length } = child.finish();
    this.writer.uint32(field * 8 + LENGTH).uint64(length);
    this.flush();
    for (const part of parts) this.add(part);
    return this;
  }

  /** A bytes field that is streamed when the message is written. */
  stream(field: number, payload: Payload): this {
    this.writer.uint32(field * 8 + LENGTH).uint64(payload.byteLength);
    this.flush();
    this.add(payload);
    return this;
  }

  finish(): { readonly parts: readonly Part[]; readonly length: number } {
    this.flush();
    return { parts: this.parts, length: this.partBytes };
  }

  private flush(): void {
    const bytes = this.writer.finish();
    if (bytes.length > 0) this.add(bytes);
    this.writer = protobuf.Writer.create();
  }

  private add(part: Part): void {
    this.parts.push(part);
    this.partBytes += part.byteLength;
  }
}
