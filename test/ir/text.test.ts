import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { bytesSource, type Constant } from '../../src/ir/constant.ts';
import { canonical } from '../../src/ir/edit.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { parseElement, printElement } from '../../src/ir/literal.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { printGraph } from '../../src/ir/print.ts';
import { readConstant } from '../../src/tensor/read.ts';
import { constant, randomGraph } from '../support/random-graph.ts';

const example = `graph mlp opset 17 (%x: f16[8,32], %past: i64[B,2*S + 1]) -> %y, %half {
  %w = const f16[32,64] normal(seed=7)
  %h: f16[8,64] = MatMul %x, %w  // node /fc1/MatMul
  %y: f16[8,64] = Relu %h
  %s = const i64[2] [4, -4]
  %c = const i64[] 3
  %half: f16[4,64], _ = Split@18 %y, %s, _, %c {axis=0, names=["a", "b"], scale=0.5}  // by cse
}
`;

describe('text form of graphs', () => {
  test('the example of the documentation reads and prints back', () => {
    const graph = parseGraph(example);
    expect(graph.ops.map((op) => [op.kind, op.version])).toEqual([
      ['MatMul', 17],
      ['Relu', 17],
      ['Split', 18],
    ]);
    expect(graph.names).toEqual(['x', 'past', 'w', 's', 'c', 'h', 'y', 'half']);
    expect(printGraph(graph)).toBe(example);
  });

  test('print, parse, print is identical', () => {
    fc.assert(
      fc.property(randomGraph, (graph) => {
        const text = printGraph(graph);
        expect(printGraph(parseGraph(text))).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  test('a canonical graph without large constants reads back equal', () => {
    fc.assert(
      fc.property(randomGraph, (graph) => {
        const once = canonical(graph);
        const back = parseGraph(printGraph(once));
        expect([back.names, back.inputs, back.outputs, back.captures]).toEqual([
          once.names,
          once.inputs,
          once.outputs,
          once.captures,
        ]);
        expect(back.ops.map((op) => [op.kind, op.version, op.inputs, op.outputs, op.origin])).toEqual(
          once.ops.map((op) => [op.kind, op.version, op.inputs, op.outputs, op.origin]),
        );
        expect(canonical(back)).toBe(back);
      }),
    );
  });

  test('hashes of large constants survive', () => {
    fc.assert(
      fc.property(constant, (c) => {
        const text = printGraph(withConstant(c), { hash: true });
        expect(printGraph(parseGraph(text), { hash: true })).toBe(text);
      }),
    );
  });

  test('codes, scales and zero points are views, each with its own place', () => {
    const text = `graph g () -> %w, %t {
  %w = const f32[64,6] @"w"+40 strides(1,80) stored u4 scales(f16[3,6] @"s" strides(1,3)) zeros(u4[3,6] @"z" strides(1,4)) block(32,1) phase(8,0)
  %t = const f16[2,2] [7, -8, 0, 1] stored i4 scales(f16[1,2] [0.5, -1]) block(2,1) sparse 2:4
}
`;
    const graph = parseGraph(text);
    expect(printGraph(graph)).toBe(text);
    const [w, t] = graph.constants.values();
    expect(w.quantization).toMatchObject({ block: [32, 1], phase: [8, 0], rounded: 'f32' });
    expect([...readConstant(t).data]).toEqual([3.5, 8, 0, -1]);
  });

  test.each([
    ['f32[4,2] @"w" stored i4 scales(f16[1,2] @"s") block(3,1)', '%w: [2,2] groups, but [1,2] scales or zero points'],
    ['f32[4,2] @"w" stored i4 scales(f16[1,2] @"s") block(4)', '2 dims but 1 numbers of elements that share a scale'],
    ['f32[4,2] @"w" stored i4 scales(f16[1,2] @"s") block(0,1)', '%w: dim 0 has blocks of 0 of which 0 are cut off'],
    ['f32[4,2] @"w" sparse csc9', "expected bitmap, gap4, csc8, csc16 or n:m, found '}'"],
  ])('%s', (text, message) => {
    expect(() => parseGraph(`graph g () -> %w {\n  %w = const ${text}\n}\n`)).toThrow(message);
  });

  test('labels are looked up', () => {
    const source = bytesSource('fc1.weight', new Uint8Array(4096));
    const text = 'graph g () -> %w {\n  %w = const f16[16,64] @"fc1.weight"+64 strides(1,16)\n}\n';
    const graph = parseGraph(text, { sources: new Map([['fc1.weight', source]]) });
    expect([...graph.constants.values()][0].source).toBe(source);
    expect(printGraph(graph)).toBe(text);
  });

  test('views of one opaque label share a source that reaches far enough', () => {
    const text = 'graph g () -> %a, %b {\n  %a = const f32[100] @"w"\n  %b = const f32[100] @"w"+900\n}\n';
    const [a, b] = [...parseGraph(text).constants.values()];
    expect(a.source).toBe(b.source);
    expect(a.source.byteLength).toBe(4000);
    expect(() => a.source.read(0, new Uint8Array(4))).toThrow('wir/opaque');
  });
});

const withConstant = (c: Constant): Graph => {
  const graph = parseGraph('graph g (%x: f32[1]) -> %y {\n  %c = const f32[1] [0]\n  %y: f32[1] = Add %x, %c\n}');
  const value = [...graph.constants.keys()][0];
  return { ...graph, constants: new Map([[value, c]]) };
};

describe('elements', () => {
  test.each([
    ['f32', '0.1', 0x3dcccccdn],
    ['f16', '0.1', 0x2e66n],
    ['f16', '6e-8', 0x0001n],
    ['f16', '65520', 0x7c00n],
    ['f16', '65519', 0x7bffn],
    ['f16', '-0', 0x8000n],
    ['bf16', '1', 0x3f80n],
    ['bf16', 'inf', 0x7f80n],
    ['i8', '-128', 0x80n],
    ['u4', '15', 0xfn],
    ['i64', '-9223372036854775808', 1n << 63n],
    ['bool', 'true', 1n],
    ['f8e4m3fn', '#7e', 0x7en],
  ] as const)('%s %s', (dtype, text, bits) => {
    expect(parseElement(dtype, text)).toBe(bits);
  });

  test('every f16 reads back', () => {
    for (let code = 0; code < 0x10000; code++) {
      const text = printElement('f16', BigInt(code));
      expect(parseElement('f16', text)).toBe(BigInt(code));
    }
  });

  test.each([
    ['i8', '128'],
    ['u8', '-1'],
    ['u4', '16'],
    ['f32', 'one'],
    ['f16', '#10000'],
  ] as const)('%s has no %s', (dtype, text) => expect(parseElement(dtype, text)).toBeUndefined());
});

describe('faults of the text', () => {
  const wrap = (line: string): string => `graph g (%x: f32[2]) -> %x {\n  ${line}\n}\n`;
  test.each([
    ['%y: f33[2] = Add %x, %x', 'wir/type', "'f33' is not an element type", '2:7'],
    ['%y: f32[2] = Add %x, %z', 'wir/name', '%z is not defined before its use', '2:25'],
    ['%x: f32[2] = Add %x, %x', 'wir/name', '%x is defined twice', '2:4'],
    ['%y = const f32[2] [1, 2, 3]', 'wir/constant', '%y has 2 elements by its type, 3 in the text', '3:1'],
    ['%y = const i8[1] [200]', 'wir/constant', "'200' is not an element of i8", '2:21'],
    ['%y = const f32[99] gauss(seed=1)', 'wir/constant', "'gauss' generates nothing", '2:27'],
    ['%y = const f32[S] zeros', 'wir/constant', 'a constant has known dims only', '2:14'],
    ['%y: f32[2] = Add %x, %x {axis 1}', 'wir/syntax', "expected '=', found '1'", '2:33'],
    ['%y: f32[2] Add %x, %x', 'wir/syntax', "expected '=', found 'Add'", '2:14'],
    ['%y: f32[2] = Add %x, %x {a=[1, "b"]}', 'wir/syntax', 'a list holds numbers or strings, not both', '2:38'],
    ['%y: f32[2] = Add %x, %x {a="\\q"}', 'wir/syntax', 'is not a string as JSON writes them', '2:30'],
  ])('%s', (line, code, message, where) => {
    const fault = faultOf(() => parseGraph(wrap(line), { file: 'case.wir' }));
    expect(fault).toMatchObject({ code, where: `case.wir ${where}` });
    expect(fault.message).toContain(message);
  });

  test('the end of the text', () => {
    expect(faultOf(() => parseGraph('graph g (%x: f32[2]) -> %x {'))).toMatchObject({
      message: "expected a value, '_' or '}', found the end of the text",
      where: 'text 1:29',
    });
  });
});

function faultOf(run: () => unknown) {
  try {
    run();
  } catch (error) {
    if (error instanceof Diagnosed) return error.diagnostics[0];
    throw error;
  }
  throw new Error('nothing was thrown');
}
