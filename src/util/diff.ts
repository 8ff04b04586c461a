/** Line differences (Myers 1986, "An O(ND) difference algorithm", greedy form), printed as unified hunks. */

/** `@@` hunks with `context` lines around each change; '' for equal texts. */
export function diffLines(before: string, after: string, context: number): string {
  const [a, b] = [before.split('\n'), after.split('\n')];
  const edits = script(a, b);
  const out: string[] = [];
  for (let i = 0; i < edits.length; ) {
    if (edits[i].kind === ' ') {
      i++;
      continue;
    }
    // A hunk reaches until more than twice the context is unchanged.
    let end = i;
    for (let j = i; j < edits.length && j - end <= 2 * context; j++) if (edits[j].kind !== ' ') end = j;
    const [from, to] = [Math.max(0, i - context), Math.min(edits.length, end + context + 1)];
    out.push(`@@ -${edits[from].a + 1} +${edits[from].b + 1} @@`);
    for (const { kind, text } of edits.slice(from, to)) out.push(`${kind}${text}`);
    i = to;
  }
  return out.length === 0 ? '' : `${out.join('\n')}\n`;
}

interface Edit {
  readonly kind: ' ' | '-' | '+';
  readonly text: string;
  /** Lines of each side before this one. */
  readonly a: number;
  readonly b: number;
}

function script(a: readonly string[], b: readonly string[]): readonly Edit[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const edits: Edit[] = [];
  for (let i = 0; i < head; i++) edits.push({ kind: ' ', text: a[i], a: i, b: i });
  edits.push(...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail), head));
  for (let i = tail; i > 0; i--) edits.push({ kind: ' ', text: a[a.length - i], a: a.length - i, b: b.length - i });
  return edits;
}

function middle(a: readonly string[], b: readonly string[], head: number): readonly Edit[] {
  // Beyond this many changed lines the trace would take too much memory: replace all.
  const limit = 2000;
  const reach = new Map<number, number>([[1, 0]]);
  const trace: Map<number, number>[] = [];
  for (let d = 0; d <= Math.min(a.length + b.length, limit); d++) {
    trace.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
      let x = down ? (reach.get(k + 1) ?? 0) : (reach.get(k - 1) ?? 0) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      reach.set(k, x);
      if (x >= a.length && x - k >= b.length) return backtrack(a, b, trace, head);
    }
  }
  return [
    ...a.map((text, i): Edit => ({ kind: '-', text, a: head + i, b: head })),
    ...b.map((text, i): Edit => ({ kind: '+', text, a: head + a.length, b: head + i })),
  ];
}

function backtrack(
  a: readonly string[],
  b: readonly string[],
  trace: readonly Map<number, number>[],
  head: number,
): Edit[] {
  const edits: Edit[] = [];
  let [x, y] = [a.length, b.length];
  for (let d = trace.length - 1; d >= 0; d--) {
    const reach = trace[d];
    const k = x - y;
    const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = d === 0 ? 0 : (reach.get(fromK) ?? 0);
    const fromY = fromX - (d === 0 ? 0 : fromK);
    while (x > fromX && y > fromY) {
      x--;
      y--;
      edits.push({ kind: ' ', text: a[x], a: head + x, b: head + y });
    }
    if (d === 0) break;
    if (down) y--;
    else x--;
    edits.push({ kind: down ? '+' : '-', text: down ? b[y] : a[x], a: head + x, b: head + y });
  }
  return edits.reverse();
}
