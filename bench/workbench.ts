/** `bench kernel`: a kernel author's own file, held against what it claims to compute and timed beside the project's. */

import { watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { type Binding, type DeviceTraits, type Kernel, paramsOf, type Scalar } from "../src/kernels/kernel.ts";
import type { Engine } from "../src/runtime/engine.ts";
import { BYTES } from "../src/runtime/tensor.ts";
import type { Case, CaseTable } from "../test/cases.ts";
import { bytesAt, requireRoom } from "./buffer_limits.ts";
import { type KernelBenchOptions, type KernelTask, kernelTask } from "./kernels.ts";
import { claimedTask, type WorkbenchOptions } from "./workbench_claims.ts";
import { evaluateList } from "./workbench_expression.ts";
import {
  type AuthorFile,
  declares,
  numericConstants,
  readAuthorFile,
  storedAs,
  workgroupsOf,
  workgroupsText,
} from "./workbench_file.ts";

/** Milliseconds in which an editor that saves in several steps is done. */
const SETTLED = 150;

/** Below it, indices of data that nobody described. */
const SMALL_INDICES = 256;

export interface Workbench {
  readonly engine: Engine;
  readonly traits: DeviceTraits;
  readonly dtype: Scalar;
  readonly options: KernelBenchOptions;
}

/** What a file asks to be measured. */
export interface AuthorTask {
  readonly file: AuthorFile;
  readonly task: KernelTask;
  /** Of what it binds, where its sizes are asked for. */
  readonly bytes: ReadonlyMap<string, number>;
}

/**
 * Reads a file and plans its launch; no device is needed.
 * @param traits of the device, or those that any has
 * @throws RangeError for a file that says too little or asks for what there is not
 */
export async function authorTask(
  path: string,
  asked: WorkbenchOptions,
  traits: DeviceTraits,
  dtype: Scalar,
): Promise<AuthorTask> {
  const file = await readAuthorFile(path);
  workgroupsText(file, asked.workgroups);
  const task = claimedTask(file, asked, traits, dtype);
  if (task === undefined) return unclaimedTask(file, asked, traits, dtype);
  return { file, task, bytes: asked.shape ? bytesAt(task.kernels[0]!, asked.shape, dtype) : new Map() };
}

/**
 * Compiles the file, verifies it and times it, after the project's kernels for the same.
 * @throws as `authorTask`, and RangeError for sizes that the device has no room for; what fails on the GPU goes to
 * `onFailure`
 */
export async function benchAuthorFile(
  path: string,
  asked: WorkbenchOptions,
  { engine, traits, dtype, options }: Workbench,
): Promise<void> {
  const { file, task, bytes } = await authorTask(path, asked, traits, dtype);
  requireRoom(file.name, bytes, engine.device.limits);
  await task.measure(engine, () => true, dtype, {
    ...options,
    onFailure: (name, error) => options.onFailure(name, dtype === "f16" ? ownLines(file, error) : error),
  });
}

/** Specialising for f16 puts a line `enable f16;` before the source: the author counts without it. */
function ownLines(file: AuthorFile, error: Error): Error {
  if (!declares(file.source, "Scalar", "f16")) return error;
  return new Error(error.message.replace(/\bline (\d+):/g, (_, line: string) => `line ${Number(line) - 1}:`));
}

/** Runs once, and again whenever the file is saved. Ends with the process. */
export async function watchFile(path: string, run: () => Promise<void>): Promise<never> {
  const name = basename(path);
  let wake = (): void => {};
  // The folder and not the file, since many editors save by putting a new file in the old one's place.
  watch(dirname(resolve(path)), (_, changed) => void (changed === name && wake()));
  for (;;) {
    const saved = new Promise<void>((done) => (wake = done));
    await run();
    console.error(`\n${name}: waiting for it to be saved; Ctrl-C ends`);
    await saved;
    await new Promise((done) => setTimeout(done, SETTLED));
  }
}

interface UnclaimedShape {
  readonly dtype: Scalar;
}

/** A file that claims nothing: its comments say how long its operands are, and its time is all that is told. */
function unclaimedTask(
  file: AuthorFile,
  { shape, workgroups }: WorkbenchOptions,
  { limits }: DeviceTraits,
  dtype: Scalar,
): AuthorTask {
  const params = paramValues(file, shape);
  const kernel: Kernel<UnclaimedShape> = {
    name: file.name,
    source: file.source,
    plan({ dtype }, { maxComputeWorkgroupsPerDimension: most }) {
      const constants = declares(file.source, "Scalar", dtype) ? { Scalar: dtype } : {};
      const names = { ...numericConstants(file.source, constants), ...params };
      const label = Object.values(params).join("x") || "-";
      return { constants, params, workgroups: workgroupsOf(file, workgroups, names, most), label };
    },
  };
  kernel.plan({ dtype }, limits);
  const lengths = lengthsOf(file, { ...numericConstants(file.source, {}), ...params });
  const table: CaseTable<UnclaimedShape> = {
    kernels: () => [kernel],
    reference: () => ({}),
    cases: [],
    typical: [],
  };
  const task = kernelTask(table, randomCase(file, lengths));
  const bytesOf = (binding: Binding): number => lengths.get(binding.name)! * BYTES[storedAs(file, binding, dtype)];
  const storage = file.bindings.filter(({ access }) => access !== "uniform");
  return {
    file,
    task: {
      ...task,
      measure: (engine, select, dtype, options) =>
        task.measure(engine, select, dtype, {
          ...options,
          onRow: (row) => options.onRow({ ...row, check: { ...row.check, how: "unverified: it claims nothing" } }),
        }),
    },
    bytes: new Map(storage.map((binding) => [binding.name, bytesOf(binding)])),
  };
}

function randomCase(file: AuthorFile, lengths: ReadonlyMap<string, number>): Case<UnclaimedShape> {
  const storage = file.bindings.filter(({ access }) => access !== "uniform");
  const [read, written] = [false, true].map((wanted) =>
    storage.filter(({ access }) => (access === "read_write") === wanted),
  );
  return {
    shape: {},
    inputs: (random) =>
      Object.fromEntries(
        read!.map((binding) => {
          const length = lengths.get(binding.name)!;
          const numbers =
            storedAs(file, binding, "f32") === "u32"
              ? Array.from({ length }, () => random.integer(SMALL_INDICES))
              : random.values(length);
          return [binding.name, numbers];
        }),
      ),
    outputs: Object.fromEntries(written!.map(({ name }) => [name, lengths.get(name)!])),
    bound: () => ({ absolute: 0, relative: 0 }),
  };
}

/** `// params: m = 128, n = m * 2`; the sizes of `--shape` take the place of the first ones. */
function paramValues(file: AuthorFile, sizes: readonly number[] = []): Record<string, number> {
  const given = assignments(file.notes.params ?? "", "params");
  if (sizes.length > given.length) {
    throw new RangeError(
      `--shape has ${sizes.length} sizes, "// params:" of ${file.name} names ${given.length}: name them there, or say what it claims`,
    );
  }
  const values: Record<string, number> = {};
  for (const [i, [name, text]] of given.entries()) values[name] = sizes[i] ?? oneValue(text, values);
  const missing = paramsOf(file.source).filter(({ name }) => !(name in values));
  if (missing.length > 0) {
    throw new RangeError(
      `${file.name} claims nothing, so Params.${missing[0]!.name} needs a value: write "// params: ${missing.map(({ name }) => `${name} = 128`).join(", ")}", or say what it claims, as in "// claims: matmul"`,
    );
  }
  return values;
}

function lengthsOf(file: AuthorFile, names: Readonly<Record<string, number>>): Map<string, number> {
  const lengths = new Map<string, number>();
  for (const [name, text] of assignments(file.notes.lengths ?? "", "lengths")) {
    if (!file.bindings.some((binding) => binding.name === name)) {
      const known = file.bindings.map(({ name }) => name).join(", ");
      throw new RangeError(`${file.name}: "// lengths:" names ${name}, which is not bound; there are ${known}`);
    }
    const length = oneValue(text, names);
    if (!Number.isInteger(length) || length < 1) throw new RangeError(`length of ${name}: ${text} is ${length}`);
    lengths.set(name, length);
  }
  for (const { name, access } of file.bindings) {
    if (access === "uniform" || lengths.has(name)) continue;
    throw new RangeError(
      `${file.name} claims nothing, so its bindings need lengths: write "// lengths: ${name} = 1024, ...", in elements, or say what it claims, as in "// claims: matmul"`,
    );
  }
  return lengths;
}

/** `x = m * k, out = max(m, n)`: a comma that a name and `=` follow begins the next one. */
function assignments(text: string, word: string): [name: string, value: string][] {
  if (text === "") return [];
  return text.split(/,\s*(?=\w+\s*=)/).map((part) => {
    const match = /^(\w+)\s*=\s*(.+)$/.exec(part.trim());
    if (match === null) throw new RangeError(`"// ${word}: ${text}": "${part}" is not NAME = VALUE`);
    return [match[1]!, match[2]!];
  });
}

function oneValue(text: string, names: Readonly<Record<string, number>>): number {
  const values = evaluateList(text, names);
  if (values.length !== 1) throw new RangeError(`"${text}": one value is wanted, not ${values.length}`);
  return values[0]!;
}
