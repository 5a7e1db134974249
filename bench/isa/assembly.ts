/** What RADV prints of a shader, read: its resources, and what its loops are made of. */

export interface Resources {
  readonly vectorRegisters: number;
  /** Of either kind, to memory. */
  readonly spilled: number;
  /** Bytes of a workgroup. */
  readonly workgroupMemory: number;
  /** Subgroups that a SIMD can hold at a time. */
  readonly subgroupsPerSimd: number;
  readonly instructions: number;
  /** Threads of a subgroup, as it was compiled. */
  readonly subgroup: 32 | 64;
}

/** Of a stretch of instructions, each as often as it is run. */
export interface Mix {
  readonly all: number;
  /** Fused multiply-adds and products of matrices: of all. */
  readonly math: number;
  /** Multiply-adds of a thread. */
  readonly macs: number;
  readonly matrixProducts: number;
  /** Bytes that a thread reads from workgroup memory. */
  readonly workgroupBytes: number;
  readonly globalLoads: number;
}

/** One turn of the outermost loop around that in which a shader multiplies most. */
export interface MainLoop extends Mix {
  /** Loops in it whose number of turns could not be read: they are counted once. */
  readonly unknownTurns: number;
  /** The loop that multiplies, by itself. */
  readonly inner: Mix;
}

const NOTHING: Mix = { all: 0, math: 0, macs: 0, matrixProducts: 0, workgroupBytes: 0, globalLoads: 0 };

/** @throws Error where the text has none: RADV prints them with RADV_DEBUG=asm,shaderstats */
export function resourcesOf(text: string): Resources {
  const number = (name: string): number => {
    const found = new RegExp(`^${name}: (\\d+)`, "m").exec(text)?.[1];
    if (found === undefined) throw new Error(`the driver tells no "${name}" of this shader`);
    return Number(found);
  };
  return {
    vectorRegisters: number("VGPRs"),
    spilled: number("Spilled VGPRs") + number("Spilled SGPRs"),
    workgroupMemory: number("LDS size"),
    subgroupsPerSimd: number("Subgroups per SIMD"),
    instructions: number("Instructions"),
    subgroup: /\bs_(mov|and_saveexec)_b64\b.*\bexec|\bvcc,/.test(text) ? 64 : 32,
  };
}

/**
 * One turn of a matmul's loop over k, of attention's over keys: of the loops the one with matrix products, or that in which
 * most is multiplied, as often as it turns in the outermost one around it. None where nothing multiplies.
 */
export function mainLoopOf(text: string): MainLoop | undefined {
  const { subgroup } = resourcesOf(text);
  const lines = text.split("\n").map((line) => line.replace(/;.*/, "").trim());
  const loops = loopsOf(lines);
  const around = (loop: Loop): Loop[] => loops.filter((other) => within(loop, other));
  const [first] = loops
    .map((loop) => {
      const own = mixOf(ownLines(lines, loop, loops), subgroup);
      const nested = [...around(loop), loop].slice(1);
      const turns = nested.reduce((product, each) => product * (turnsOf(ownLines(lines, each, loops)) ?? 1), 1);
      return { loop, matrixProducts: own.matrixProducts * turns, macs: own.macs * turns };
    })
    .filter(({ macs }) => macs > 0)
    .sort((a, b) => b.matrixProducts - a.matrixProducts || b.macs - a.macs);
  if (first === undefined) return undefined;
  const turn = oneTurn(lines, around(first.loop)[0] ?? first.loop, loops, subgroup);
  return { ...turn, inner: mixOf(ownLines(lines, first.loop, loops), subgroup) };
}

/** Lines of its first block's label and of the last branch back to it. */
interface Loop {
  readonly start: number;
  readonly end: number;
}

function loopsOf(lines: readonly string[]): Loop[] {
  const labels = new Map<string, number>();
  const ends = new Map<number, number>();
  for (const [i, line] of lines.entries()) {
    const label = /^(BB\d+):/.exec(line)?.[1];
    if (label !== undefined) labels.set(label, i);
    const start = labels.get(/^s_c?branch\S*\s+(BB\d+)/.exec(line)?.[1] ?? "");
    if (start !== undefined) ends.set(start, i);
  }
  return [...ends].map(([start, end]) => ({ start, end })).sort((a, b) => a.start - b.start);
}

const within = (inner: Loop, outer: Loop): boolean => inner.start > outer.start && inner.end <= outer.end;

/** Of the loop without those inside it. */
function ownLines(lines: readonly string[], loop: Loop, loops: readonly Loop[]): string[] {
  const inside = loops.filter((other) => within(other, loop));
  return lines
    .slice(loop.start + 1, loop.end + 1)
    .filter((_, i) => !inside.some(({ start, end }) => loop.start + 1 + i >= start && loop.start + 1 + i <= end));
}

type Turn = Omit<MainLoop, "inner">;

/** Of one turn, those of loops inside as often as they turn. */
function oneTurn(lines: readonly string[], loop: Loop, loops: readonly Loop[], subgroup: number): Turn {
  const inside = loops.filter((other) => within(other, loop));
  const next = inside.filter((one) => !inside.some((other) => within(one, other)));
  return next.reduce<Turn>(
    (sum, inner) => {
      const own = ownLines(lines, inner, loops);
      const turns = turnsOf(own);
      const each = oneTurn(lines, inner, loops, subgroup);
      return {
        ...added(sum, each, turns ?? 1),
        unknownTurns: sum.unknownTurns + each.unknownTurns + (turns === undefined ? 1 : 0),
      };
    },
    { ...mixOf(ownLines(lines, loop, loops), subgroup), unknownTurns: 0 },
  );
}

function added(a: Mix, b: Mix, times: number): Mix {
  const sum = (field: keyof Mix): number => a[field] + times * b[field];
  return {
    all: sum("all"),
    math: sum("math"),
    macs: sum("macs"),
    matrixProducts: sum("matrixProducts"),
    workgroupBytes: sum("workgroupBytes"),
    globalLoads: sum("globalLoads"),
  };
}

/**
 * How often a loop turns whose counter, from 0 or from a thread's number on, goes up by a constant until it has come to
 * another: what ACO makes of `for (var i = thread; i < LIMIT; i += THREADS)`.
 */
export function turnsOf(lines: readonly string[]): number | undefined {
  for (const line of lines) {
    const compared =
      /^v_cmpx?_(le|gt|lt|ge)_u32\S*\s+(?:vcc(?:_lo)?,\s*|s\S+,\s*)?(0x[0-9a-f]+|\d+),\s*(v\d+)/.exec(line) ??
      /^s_cmp_(ge|lt|gt|le)_u32\s+(?<register>s\d+),\s*(?<limit>0x[0-9a-f]+|\d+)/.exec(line);
    if (!compared) continue;
    const { register = compared[3]!, limit = compared[2]! } = compared.groups ?? {};
    const step = lines
      .map((other) => new RegExp(`^[sv]_add(?:_nc|_co|k)*_[ui]32\\S*\\s+${register},(.*)`).exec(other)?.[1])
      .flatMap((operands) => operands?.match(/0x[0-9a-f]+|(?<![\w[:])\d+/) ?? [])[0];
    if (step !== undefined && Number(step) > 0) return Math.max(1, Math.ceil(Number(limit) / Number(step)));
  }
  return undefined;
}

/** Waits and hints are none of the instructions. */
function mixOf(lines: readonly string[], subgroup: number): Mix {
  return lines.reduce((sum, line) => {
    const op = /^([a-z]+_[a-z0-9_]+)/.exec(line)?.[1];
    if (op === undefined || /^s_(wait|delay|clause|nop)/.test(op)) return sum;
    const macs = line.split("::").reduce((all, half) => all + macsOf(half.trim(), subgroup), 0);
    return added(
      sum,
      {
        all: 1,
        math: macs > 0 ? 1 : 0,
        macs,
        matrixProducts: /^v_(wmma|swmmac)/.test(op) ? 1 : 0,
        workgroupBytes: workgroupBytesOf(op),
        globalLoads: /^(buffer|global|flat|scratch)_load/.test(op) ? 1 : 0,
      },
      1,
    );
  }, NOTHING);
}

/** Multiply-adds of a thread by one instruction. */
function macsOf(line: string, subgroup: number): number {
  const matrix = /^v_(?:wmma|swmmac)_\w+?_(\d+)x(\d+)x(\d+)/.exec(line);
  if (matrix) return (Number(matrix[1]) * Number(matrix[2]) * Number(matrix[3])) / subgroup;
  const dot = /^v_dot(\d)/.exec(line)?.[1];
  if (dot !== undefined) return Number(dot);
  if (/^v_pk_(fma|fmac)/.test(line)) return 2;
  return /^v_(dual_)?(fma|fmac|fmaak|fmamk|mad|mac)\w*_f(16|32)\b/.test(line.replace(/_e(32|64)\b/, "")) ? 1 : 0;
}

function workgroupBytesOf(op: string): number {
  if (!/^ds_(load|read)/.test(op)) return 0;
  const bits = Number(/_[bui](\d+)/.exec(op)?.[1] ?? 32);
  return ((/2addr|read2/.test(op) ? 2 : 1) * bits) / 8;
}
