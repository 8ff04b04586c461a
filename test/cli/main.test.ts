import { describe, expect, test } from 'vitest';
import { type CompileArguments, type Drivers, type VerifyArguments } from '../../src/cli/drivers.ts';
import { runCli } from '../../src/cli/main.ts';
import { Diagnosed, type Diagnostic } from '../../src/diag/diagnostic.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { BrokenInvariant } from '../../src/pass/manager.ts';
import { NO_PROGRESS } from '../../src/util/progress.ts';
import dropIdentities from '../../passes/1-graph/drop-identities.ts';
import { programOf, TINY } from '../support/program.ts';

const remark: Diagnostic = { code: 'a/b', severity: 'remark', message: 'by the way' };
const error: Diagnostic = { code: 'fit/sram', severity: 'error', message: 'too big' };

interface Seen {
  code: number;
  out: string;
  err: string;
  compiled: CompileArguments[];
  verified: VerifyArguments[];
}

async function run(argv: readonly string[], compile?: Drivers['compile']): Promise<Seen> {
  const seen: Seen = { code: -1, out: '', err: '', compiled: [], verified: [] };
  const answer = { text: () => 'compiled\n', json: () => ({ schema: 'wafc.report/1' }), diagnostics: [remark] };
  const drivers: Drivers = {
    version: '1.2.3',
    knowsOp: () => true,
    passes: [dropIdentities],
    targets: { list: () => [TINY], load: () => TINY },
    compile(args, effects) {
      seen.compiled.push(args);
      effects.note('working\n');
      effects.show('// after 0 cse\n');
      return compile?.(args, effects) ?? { ...answer, exitCode: 0 };
    },
    verify(args) {
      seen.verified.push(args);
      return { ...answer, exitCode: 3, diagnostics: [error], text: () => 'differs\n' };
    },
    report: () => ({ ...answer, exitCode: 0 }),
  };
  seen.code = await runCli(argv, drivers, {
    out: (text) => {
      seen.out += text;
    },
    err: (text) => {
      seen.err += text;
    },
    color: false,
    progress: NO_PROGRESS,
    now: () => 0,
  });
  return seen;
}

const throws =
  (fault: unknown): NonNullable<Drivers['compile']> =>
  () => {
    throw fault;
  };
const compile = ['compile', 'm.onnx', '--target', 'tiny'];

describe('output', () => {
  test('the answer on stdout, all else on stderr', async () => {
    const seen = await run(compile);
    expect(seen).toMatchObject({ code: 0, out: 'compiled\n' });
    expect(seen.err).toBe('working\n// after 0 cse\nremark[a/b]: by the way\n');
  });

  test('--quiet drops remarks and notes, not what a flag asked for', async () => {
    expect((await run([...compile, '-q'])).err).toBe('// after 0 cse\n');
  });

  test('--json prints one document', async () => {
    const seen = await run([...compile, '--json', '-q']);
    expect(JSON.parse(seen.out)).toEqual({ schema: 'wafc.report/1' });
  });

  test('help ends in examples and names every command', async () => {
    const { code, out, err } = await run(['--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const name of ['compile', 'verify', 'report', 'targets', 'passes', 'explain'])
      expect(out).toContain(`  ${name} `);
    expect(out.trimEnd().split('\n').at(-1)).toMatch(/^ {2}\$ wafc /);
    const inner = await run(['compile', '--help']);
    expect(inner.out).toContain('Debugging passes:');
    expect(inner.out.trimEnd().split('\n').at(-1)).toMatch(/^ {2}\$ wafc compile /);
    expect((await run(['--version'])).out).toBe('1.2.3\n');
  });
});

describe('exit codes', () => {
  test('3 when verification fails', async () => {
    const seen = await run(['verify', 'plan']);
    expect(seen).toMatchObject({ code: 3, out: 'differs\n', err: 'error[fit/sram]: too big\n' });
  });

  test('1 for the fault of the input', async () => {
    const fault = throws(new Diagnosed([error]));
    expect(await run(compile, fault)).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('error[fit/sram]'),
    });
    const json = await run([...compile, '--json', '-q'], fault);
    expect(JSON.parse(json.out)).toEqual({ schema: 'wafc.error/1', exitCode: 1, diagnostics: [error] });
  });

  test.each([
    [['complie'], "error: unknown command 'complie'\n(Did you mean compile?)\n"],
    [[...compile, '--contxt', '3'], "error: unknown option '--contxt'\n(Did you mean --context?)\n"],
    [['compile', 'm.onnx'], "error: required option '-t, --target <name>' not specified\n"],
    [[...compile, '-c', 'long'], "argument 'long' is invalid. It must be an integer of at least 1.\n"],
    [[...compile, '-b', '0'], 'It must be an integer of at least 1.\n'],
    [[...compile, '--bind', '=3'], 'It must be NAME=N, as in batch_size=1.\n'],
    [[...compile, '--bind', 'a=1', '--bind', 'a=2'], 'a is already bound to 1.\n'],
    [[...compile, '--objective', 'speed'], 'Allowed choices are latency, throughput.\n'],
    [[...compile, 'extra'], 'too many arguments'],
    [['verify', 'plan', '--against', 'torch'], 'Allowed choices are onnxruntime.\n'],
  ])('2 for bad usage: %j', async (argv, message) => {
    const seen = await run(argv);
    expect(seen).toMatchObject({ code: 2, out: '', err: expect.stringContaining(message) });
    const json = await run([...argv, '--json']);
    expect(JSON.parse(json.out)).toMatchObject({ exitCode: 2, diagnostics: [{ code: 'cli/usage' }] });
  });

  test('2 and the help without a command', async () => {
    expect(await run([])).toMatchObject({ code: 2, out: '', err: expect.stringContaining('Usage: wafc') });
  });

  test('70 with a replay command for our own faults, without a stack', async () => {
    const argv = ['compile', "my model's.onnx", '--target', 'tiny'];
    const seen = await run(argv, throws(new TypeError('x is undefined')));
    expect(seen.code).toBe(70);
    expect(seen.err).toContain('error[internal/error]: x is undefined\n');
    expect(seen.err).toContain(`replay: wafc compile 'my model'\\''s.onnx' --target tiny --debug\n`);
    expect(seen.err).not.toContain('    at ');
    expect((await run([...argv, '--debug'], throws(new TypeError('x')))).err).toContain('    at ');
  });

  test('a broken invariant is replayed up to its pass', async () => {
    const before = programOf(parseGraph('graph g (%x: f32[1]) -> %x {}'));
    const step = { pass: dropIdentities, options: {} };
    const broken = new BrokenInvariant(step, 4, before, [{ rule: 'G4', message: 'late', node: '/a' }]);
    const { code, err } = await run(compile, throws(broken));
    expect(code).toBe(70);
    expect(err).toContain('error[internal/broken-invariant]: pass 4 (drop-identities) broke the program\n');
    expect(err).toContain('note: G4: late (/a)\n');
    expect(err).toContain('--bisect-limit 5 --dump wafc-crash --debug\n');
  });
});

describe('arguments', () => {
  test('compile', async () => {
    const plain = (await run(compile)).compiled[0];
    expect(plain).toMatchObject({ model: 'm.onnx', target: 'tiny', objective: 'latency', weights: true, seed: 0 });
    expect(plain.flags).toEqual({
      skip: [],
      printAfter: [],
      diffAfter: [],
      verifyEach: true,
      time: false,
      stats: false,
      checkNumerics: false,
    });
    const text =
      '-o out -c 8k -b 2 --bind seq=7 --bind a=b=1 --objective throughput --no-weights --seed 9 --dump d --print-after cse,x ' +
      '--diff-after all --time --stats --bisect-limit 3 --skip cse --skip dead-code --passes a{x=1} --check-numerics --no-verify-each';
    expect((await run([...compile, ...text.split(' ')])).compiled).toEqual([
      {
        model: 'm.onnx',
        target: 'tiny',
        output: 'out',
        context: 8192,
        batch: 2,
        bindings: { seq: 7, 'a=b': 1 },
        objective: 'throughput',
        weights: false,
        seed: 9,
        compression: { exclude: [], onnxStyle: 'matmulnbits', override: [] },
        flags: {
          passes: 'a{x=1}',
          bisectLimit: 3,
          dump: 'd',
          skip: ['cse', 'dead-code'],
          printAfter: ['cse', 'x'],
          diffAfter: ['all'],
          verifyEach: false,
          time: true,
          stats: true,
          checkNumerics: true,
        },
      },
    ]);
  });

  test('verify', async () => {
    const text = 'verify plan --model m.onnx --against onnxruntime --seed 3 --tokens 16 --generate 4 --input in.npz';
    expect((await run(text.split(' '))).verified).toEqual([
      { plan: 'plan', model: 'm.onnx', against: 'onnxruntime', seed: 3, tokens: 16, generate: 4, input: ['in.npz'] },
    ]);
    expect((await run(['verify', 'plan'])).verified).toEqual([{ plan: 'plan', seed: 0 }]);
  });
});

describe('what needs no driver', () => {
  test('explain', async () => {
    expect((await run(['explain', 'pass/order'])).out).toMatch(
      /^pass\/order: a pass needs a fact .*\n\n.*\n\nWhat to do: /s,
    );
    expect(JSON.parse((await run(['explain', '--json'])).out).schema).toBe('wafc.codes/1');
    expect(await run(['explain', 'pass/oder'])).toMatchObject({
      code: 1,
      err: expect.stringContaining("did you mean 'pass/order'?"),
    });
    const lines = (await run(['explain'])).out.split('\n');
    expect(lines.length).toBeGreaterThan(40);
    for (const code of ['onnx/external-missing', 'internal/broken-invariant', 'wir/opaque']) {
      for (const line of (await run(['explain', code])).out.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    }
  });

  test('passes', async () => {
    const { out } = await run(['passes']);
    expect(out.split('\n')[0]).toMatch(/^pass +requires +provides +preserves +numerics +summary$/);
    expect(out).toContain('drop-identities  -');
    expect((await run(['passes', 'drop-identities'])).out).toContain('  numerics   exact\n');
    expect((await run(['passes', 'drop-identites'])).err).toContain("did you mean 'drop-identities'?");
    const [first] = JSON.parse((await run(['passes', '--json'])).out).passes;
    expect(first).toMatchObject({ name: 'drop-identities', requires: [], numerics: 'exact' });
  });

  test('targets', async () => {
    expect((await run(['targets'])).out).toContain(
      'tiny       16   4x4   48.0 KiB  768.0 KiB    1  a mesh for tests\n',
    );
    const { out } = await run(['targets', 'tiny']);
    expect(out).toContain('usable cores  16\n');
    expect(out).toMatch(/^macsPerCycle\.f16 +4$/m);
    expect(JSON.parse((await run(['targets', 'tiny', '--json'])).out)).toMatchObject({ name: 'tiny', usableCores: 16 });
  });
});
