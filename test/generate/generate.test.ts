/** Generation with decoders that are functions: ends, rounds of drafting, texts and stop texts. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { generate, type GenerateOptions, generateGreedy, speculate } from '../../src/generate/generate.ts';
import { GREEDY } from '../../src/generate/sampling.ts';
import { continuePrompt, type GenerationArguments } from '../../src/generate/text.ts';
import { byteTokenizer } from '../../src/tokenizer/bytes.ts';
import { fakeDecoder, hashed } from './support.ts';

const OPTIONS: GenerateOptions = { prompt: [1, 2], maxTokens: 12, sampling: GREEDY, seed: 0, onToken: () => 'go on' };

describe('ends', () => {
  const counting = (context?: number) =>
    fakeDecoder((ids) => [0, 1, 2, 3].map((w) => (w === ids.length % 4 ? 1 : 0)), context);
  test('as many tokens as asked for', async () => {
    expect(await generate(counting(), { ...OPTIONS, maxTokens: 5 })).toEqual({
      ids: [2, 3, 0, 1, 2],
      reason: 'max-tokens',
    });
  });
  test('after the token that stops', async () => {
    const onToken = (id: number) => (id === 0 ? 'stop' : 'go on');
    expect(await generate(counting(), { ...OPTIONS, onToken })).toEqual({ ids: [2, 3, 0], reason: 'stop' });
  });
  test('when the context is full: the last token needs no place', async () => {
    expect(await generate(counting(4), OPTIONS)).toEqual({ ids: [2, 3, 0], reason: 'context' });
    expect(await generate(counting(2), OPTIONS)).toEqual({ ids: [2], reason: 'context' });
  });
  test('at a signal, with what there is', async () => {
    const controller = new AbortController();
    let seen = 0;
    const onToken = () => {
      if (++seen === 3) controller.abort();
      return 'go on' as const;
    };
    const found = await generate(counting(), { ...OPTIONS, onToken, signal: controller.signal });
    expect(found).toEqual({ ids: [2, 3, 0], reason: 'interrupted' });
  });
  test('an empty prompt is refused', async () => {
    await expect(generate(counting(), { ...OPTIONS, prompt: [] })).rejects.toThrow('the prompt is empty');
  });
});

describe('drafting', () => {
  const words = 6;
  /** A drafter that is right most of the time. */
  const near = (ids: readonly number[]): number[] =>
    ids.length % 3 === 0 ? hashed(words, 'd')(ids) : hashed(words, 'r')(ids);

  test('greedy tokens are those of the reviewer alone, whatever is drafted and wherever it ends', async () => {
    const cases = fc.record({
      prompt: fc.array(fc.nat(words - 1), { minLength: 1, maxLength: 5 }),
      count: fc.integer({ min: 1, max: 6 }),
      maxTokens: fc.integer({ min: 1, max: 20 }),
      context: fc.integer({ min: 5, max: 24 }),
      stop: fc.nat(words),
      drafter: fc.constantFrom(near, hashed(words, 'r'), hashed(words, 'other')),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ prompt, count, maxTokens, context, stop, drafter }) => {
        const onToken = (id: number) => (id === stop ? 'stop' : 'go on');
        const options = { ...OPTIONS, prompt, maxTokens, onToken };
        const alone = await generate(fakeDecoder(hashed(words, 'r'), context), options);
        const reviewer = fakeDecoder(hashed(words, 'r'), context);
        const both = await speculate(reviewer, fakeDecoder(drafter, context), count, options);
        expect({ ids: both.ids, reason: both.reason }).toEqual(alone);
        expect(both.drafting.accepted).toBeLessThanOrEqual(both.drafting.drafted);
        expect(reviewer.fed).toBeLessThanOrEqual(prompt.length + both.drafting.drafted + both.drafting.rounds);
      }),
    );
  });

  test('a drafter that is the reviewer is always accepted: one round for count + 1 tokens', async () => {
    const both = await speculate(fakeDecoder(hashed(words, 'r')), fakeDecoder(hashed(words, 'r')), 3, OPTIONS);
    expect(both.drafting).toEqual({ rounds: 3, drafted: 9, accepted: 9 });
  });

  test('sampled tokens are distributed as those of the reviewer alone', async () => {
    const sampling = { temperature: 1, topK: null, topP: 1 };
    const pairs = async (drafted: boolean): Promise<number[]> => {
      const counts = new Array<number>(9).fill(0);
      for (let seed = 0; seed < 800; seed++) {
        const options = { ...OPTIONS, prompt: [1], maxTokens: 2, sampling, seed };
        const reviewer = fakeDecoder(hashed(3, 'r', 3));
        const found = drafted
          ? await speculate(reviewer, fakeDecoder(hashed(3, 'd', 3)), 2, options)
          : await generate(reviewer, options);
        counts[found.ids[0] * 3 + found.ids[1]]++;
      }
      return counts;
    };
    const [alone, both] = [await pairs(false), await pairs(true)];
    const chi = alone.reduce((n, a, i) => n + (a - both[i]) ** 2 / Math.max(1, a + both[i]), 0);
    expect(chi).toBeLessThan(26.1); // 8 degrees of freedom, one in a thousand
  });

  test('models of two vocabularies are refused', async () => {
    const found = speculate(fakeDecoder(hashed(6, 'r')), fakeDecoder(hashed(5, 'r')), 2, OPTIONS);
    await expect(found).rejects.toThrow('the drafter has 5 words, the reviewer 6');
  });
});

describe('texts', () => {
  /** Says `text` after the prompt, byte by byte, then line ends. */
  const saying = (text: string, prompt: number) => {
    const bytes = Buffer.from(text);
    return fakeDecoder((ids) =>
      Array.from({ length: 256 }, (_, w) => (w === (bytes[ids.length - prompt] ?? 10) ? 1 : 0)),
    );
  };
  const ARGS: GenerationArguments = { prompt: 'ab', maxTokens: 12, sampling: GREEDY, seed: 0, stop: [] };
  const say = async (text: string, change: Partial<GenerationArguments> = {}) => {
    const shown: string[] = [];
    let time = 0;
    const result = await continuePrompt(
      { decoder: saying(text, 2), draftTokens: 1, tokenizer: byteTokenizer(256), vocabulary: 256 },
      { ...ARGS, ...change },
      { stream: (piece) => shown.push(piece), now: () => (time += 1000) },
    );
    return { ...result, shown: shown.join('') };
  };

  test('what is shown is the prompt and the text, and the time of the first token is apart', async () => {
    const found = await say('hello world!');
    expect(found).toMatchObject({ text: 'hello world!', shown: 'abhello world!', reason: 'max-tokens' });
    expect(found.seconds).toEqual({ first: 1, rest: 11 });
    expect(found.prompt).toEqual({ text: 'ab', ids: [97, 98] });
  });
  test.each([
    [['wor'], 'hello '],
    [['xx', 'o w', 'wor'], 'hell'],
    [['hello'], ''],
    [['lll', 'worlds'], 'hello world!'],
  ])('stop texts %j are not shown, nor what follows', async (stop, text) => {
    const found = await say('hello world!', { stop });
    expect(found.text).toBe(text);
    expect(found.shown).toBe(`ab${text}`);
    expect(found.reason).toBe(text === 'hello world!' ? 'max-tokens' : 'stop');
  });
  test('a cut character is shown as one that is missing', async () => {
    expect((await say('aé', { maxTokens: 2 })).text).toBe('a\ufffd');
  });
  test('ids alone: no tokenizer is needed', async () => {
    const shown: string[] = [];
    const { text, ids } = await continuePrompt(
      { decoder: saying('xyz', 2), draftTokens: 1 },
      { ids: [5, 6], maxTokens: 2, sampling: GREEDY, seed: 0, stop: [] },
      { stream: (piece) => shown.push(piece), now: () => 0 },
    );
    expect({ text, ids, shown: shown.join('') }).toEqual({ text: null, ids: [120, 121], shown: '5 6 120 121' });
  });
  test('a prompt that does not fit is refused before anything is shown', async () => {
    const shown: string[] = [];
    const around = { stream: (piece: string) => void shown.push(piece), now: () => 0 };
    const given = { ids: [1, 2, 3, 4], maxTokens: 2, sampling: GREEDY, seed: 0, stop: [] };
    const [small, large] = [3, 9].map((context) => fakeDecoder(() => [1, 0], context));
    await expect(continuePrompt({ decoder: small, draftTokens: 1 }, given, around)).rejects.toThrow(
      '4 tokens exceed the context of 3',
    );
    await expect(continuePrompt({ decoder: large, drafter: small, draftTokens: 1 }, given, around)).rejects.toThrow(
      '4 tokens exceed the context of 3',
    );
    expect(shown).toEqual([]);
  });
  test('ids beyond the vocabulary, and a prompt without a tokenizer, are refused', async () => {
    await expect(say('', { ids: [256] })).rejects.toThrow("token 256 is not in the model's vocabulary of 256");
    const none = continuePrompt({ decoder: saying('', 2), draftTokens: 1 }, ARGS, { stream: () => {}, now: () => 0 });
    await expect(none).rejects.toThrow('a prompt of text needs the tokenizer of the model');
  });
  test('greedy in one call', async () => {
    expect(await generateGreedy(saying('hi', 2), [97, 98], 2)).toEqual([104, 105]);
  });
});
