/** The table: each kernel that the engine chooses, as a GPU's compiler makes it. */

import type { DeviceTraits, Scalar } from "../../src/kernels/kernel.ts";
import type { ModelShapeName } from "../random_model.ts";
import { type MainLoop, mainLoopOf, type Resources, resourcesOf } from "./assembly.ts";
import { FAMILIES, type Family, type Target, type Toolchain } from "./families.ts";
import { type Launch, recordTask, type Task } from "./recordings.ts";

export interface IsaRow extends Resources {
  readonly family: Family;
  readonly model: ModelShapeName;
  readonly pass: Task["pass"];
  readonly dtype: Scalar;
  readonly batch: number;
  /** Chosen for matrix units, as on a GPU whose subgroups are all of one size. */
  readonly units: boolean;
  /** `matmul_workgroup 128x2304x768` */
  readonly launch: string;
  readonly kernel: string;
  /** Launches of it in the pass. */
  readonly count: number;
  /** Of one launch, by the mathematics, and bytes if each operand travels once. */
  readonly flops: number;
  readonly bytes: number;
  readonly workgroups: number;
  /** Absent where nothing is multiplied in a loop. */
  readonly loop?: MainLoop;
}

export interface IsaFailure {
  readonly family: Family;
  readonly launch: string;
  readonly fault: string;
}

export interface IsaTable {
  readonly tool: "bert-webgpu isa";
  readonly version: 1;
  readonly driver: string;
  readonly rows: readonly IsaRow[];
  readonly failures: readonly IsaFailure[];
}

const TOKENS = 128;
/** Texts of 128 tokens: alone and many of them to infer, as many as a step usually takes. */
const BATCHES = { forward: [1, 32], step: [8] } as const;

/** Models, passes and types of storage that are in the table. */
export function standardTasks(): Task[] {
  return (["base", "minilm"] as const).flatMap((model) =>
    (["forward", "step"] as const).flatMap((pass) =>
      (["f32", "f16"] as const).flatMap((dtype) =>
        BATCHES[pass].map((batch): Task => ({ model, pass, dtype, batch, tokens: TOKENS })),
      ),
    ),
  );
}

interface Recorded {
  readonly task: Task;
  readonly units: boolean;
  readonly launch: Launch;
}

/** @param tell of what begins */
export async function isaTable(
  toolchain: Toolchain,
  tasks: readonly Task[],
  tell: (what: string) => void,
): Promise<IsaTable> {
  const rows: IsaRow[] = [];
  const failures: IsaFailure[] = [];
  const drivers = new Set<string>();
  for (const family of Object.keys(FAMILIES) as Family[]) {
    tell(`${FAMILIES[family]}: recording`);
    const target = toolchain.target(family);
    drivers.add(target.driver);
    const recorded: Recorded[] = [];
    for (const task of tasks) recorded.push(...(await recordedAs(task, target)));
    const sources = [...new Set(recorded.map(({ launch }) => launch.source))];
    tell(`${FAMILIES[family]}: ${sources.length} shaders`);
    const compiled = new Map(toolchain.compile(family, sources).map((each, i) => [sources[i]!, each]));
    for (const { task, units, launch } of recorded) {
      const { text, fault } = compiled.get(launch.source) ?? { text: "", fault: "the compiler ended before it" };
      const { label, kernel, count, flops, bytes, workgroups } = launch;
      if (fault !== undefined) {
        failures.push({ family, launch: label, fault });
        continue;
      }
      const loop = mainLoopOf(text);
      const { model, pass, dtype, batch } = task;
      const of = { family, model, pass, dtype, batch, units, launch: label, kernel, count, flops, bytes, workgroups };
      rows.push({ ...of, ...resourcesOf(text), ...(loop && { loop }) });
    }
  }
  return { tool: "bert-webgpu isa", version: 1, driver: [...drivers].join("; "), rows, failures };
}

/** By the family's own traits; where it has matrix units for the type, what is launched on these too. */
async function recordedAs(task: Task, { traits }: Target): Promise<Recorded[]> {
  const { matrixUnits = [], ...plain } = traits;
  const launches = await recordTask(task, plain);
  const recorded = launches.map((launch): Recorded => ({ task, units: false, launch }));
  const multiplies = matrixUnits.some(
    ({ componentType, resultType }) => componentType === task.dtype && resultType === "f32",
  );
  if (!multiplies || traits.subgroupMaxSize === undefined) return recorded;
  const whole: DeviceTraits = { ...traits, subgroupSize: traits.subgroupMaxSize };
  const others = (await recordTask(task, whole)).filter(({ source }) => source.includes("subgroup_matrix"));
  return [...recorded, ...others.map((launch): Recorded => ({ task, units: true, launch }))];
}
