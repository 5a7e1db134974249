/** Forward passes with the weights that are being trained. */

import type { Sequence } from "../bert/batch.ts";
import {
  type Collect,
  type ForwardModel,
  headsFor,
  inputsOf,
  type PreparedForward,
  prepareForward,
  recordForward,
} from "../bert/forward.ts";
import type { Forward, Wanted } from "../bert/outputs.ts";
import { latest } from "../files/latest.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Program } from "../runtime/program.ts";

/** As `BertModel.forward`, for the heads that are trained. */
export type EvaluationForward = <const W extends Wanted>(
  sequences: readonly Sequence[],
  wanted: W & Readonly<Record<Exclude<keyof W, keyof Wanted>, never>>,
) => Promise<Forward<W>>;

/** What a model is held against: gives numbers by name. It is called between two steps. */
export type Evaluation = (forward: EvaluationForward) => Promise<Readonly<Record<string, number>>>;

interface Recorded {
  readonly program: Program;
  readonly collect: Collect;
}

/** Programs kept for shapes seen lately. */
const KEPT_PROGRAMS = 16;

export function forwardOf(engine: Engine, model: ForwardModel): EvaluationForward {
  const recorded = new Map<string, Promise<Recorded>>();
  const record = async (prepared: PreparedForward): Promise<Recorded> => {
    let collect: Collect;
    const program = await engine.record(`evaluation ${prepared.key}`, (r) => {
      collect = recordForward(r, prepared, model);
    });
    return { program, collect: collect! };
  };
  return async (sequences: readonly Sequence[], wanted: Wanted) => {
    for (const [name, head] of headsFor(wanted)) {
      if (!head.weights || model.weights.heads[name]) continue;
      const there = Object.keys(model.weights.heads).join(", ");
      throw new RangeError(`${Object.keys(wanted).join(", ")} needs the head ${name}; trained are ${there}`);
    }
    const prepared = prepareForward(sequences, wanted, model.config, true);
    const { program, collect } = await latest(recorded, prepared.key, () => record(prepared), KEPT_PROGRAMS);
    return collect(await program.run(inputsOf(prepared, model.weights)), prepared) as never; // what is asked for is there
  };
}
