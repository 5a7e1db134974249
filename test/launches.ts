/** Which kernels an engine launches, and how often: checks say so, that one sees the intended ones ran. */

import type { Kernel, KernelPlan } from "../src/kernels/kernel.ts";
import type { Engine } from "../src/runtime/engine.ts";

export interface Launches {
  /** Launches by kernel, such as `matmul_workgroup 32x32` and `layernorm by thread`. */
  readonly counts: ReadonlyMap<string, number>;
  /** `12 attention, 24 matmul_workgroup`: alphabetically, on one line. */
  summary(): string;
  /** Those of `names`, beginnings of the names of kernels, of which none was launched. */
  lacks(names: readonly string[]): string[];
}

/** Counts what programs launch that are recorded on `engine` from now on. */
export function countLaunches(engine: Engine): Launches {
  const counts = new Map<string, number>();
  const record = engine.record.bind(engine);
  engine.record = async (label, build) => {
    const names: string[] = [];
    const program = await record(label, (recorder) => {
      const dispatch = recorder.dispatch.bind(recorder);
      recorder.dispatch = (kernel, shape, ...rest) => {
        dispatch(kernel, shape, ...rest);
        names.push(nameOf(kernel, kernel.plan(shape, recorder.traits.limits).constants));
      };
      build(recorder);
    });
    const count = (): void => {
      for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    };
    const [run, submit] = [program.run.bind(program), program.submit.bind(program)];
    program.run = (inputs, options) => {
      count();
      return run(inputs, options);
    };
    program.submit = (inputs, options) => {
      count();
      return submit(inputs, options);
    };
    return program;
  };
  const summary = (): string =>
    [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `${count} ${name}`)
      .join(", ");
  const lacks = (names: readonly string[]): string[] =>
    names.filter((name) => ![...counts.keys()].some((launched) => launched.startsWith(name)));
  return { counts, summary, lacks };
}

/** With what sets one kernel of a name apart from another: its tile, who owns its rows. */
function nameOf({ name }: Pick<Kernel<unknown>, "name">, constants: KernelPlan["constants"]): string {
  const { LANES, TILE_ROWS, TILE_COLS } = constants;
  if (name.startsWith("matmul_workgroup")) return `${name} ${TILE_ROWS}x${TILE_COLS}`;
  return LANES === undefined ? name : `${name} by ${LANES === 1 ? "thread" : "workgroup"}`;
}
