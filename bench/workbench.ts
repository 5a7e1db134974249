/** `bench kernel`: a kernel author's own file, held against what it claims to compute and timed beside the project's. */

import { watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import {
  bindingsOf,
  type Kernel,
  type KernelPlan,
  paramsOf,
  type Scalar,
  specialize,
  type Workgroups,
} from "../src/kernels/kernel.ts";
import { ACTIVATION_CODES } from "../src/kernels/rows/activation.ts";
import { Checks } from "../src/runtime/checks.ts";
import { describeMessages } from "../src/runtime/context.ts";
import type { Engine } from "../src/runtime/engine.ts";
import { lackOfRoom } from "./buffer_limits.ts";
import { elementOf } from "./case_data.ts";
import { OPERATIONS, shapedTask } from "./kernel_cases.ts";
import type { KernelTask } from "./kernels.ts";
import { type AuthorFile, declares, storedAs } from "./workbench_file.ts";

/** Milliseconds in which an editor that saves in several steps is done. */
const SETTLED = 150;

const ACTIVATED = ["matmul", "matmul_q8", "activation"];
const ACTIVATIONS = Object.keys(ACTIVATION_CODES).filter((name) => name !== "none");

/** What the command line says beside the file. */
export interface WorkbenchOptions {
  readonly claims?: string;
  readonly shape?: readonly number[];
  readonly workgroups?: Workgroups;
}

export interface AuthorTask extends KernelTask {
  /** @throws RangeError with what the compiler says of the file, by its lines */
  compile(): Promise<void>;
}

/**
 * The project's kernel for what a file claims, and the file's own, planned for this device.
 * @throws RangeError for a claim that there is not, for a file whose bindings, params or launch do not fit its claim, and
 * for sizes that the device has no room for
 */
export function authorTask(file: AuthorFile, asked: WorkbenchOptions, engine: Engine, dtype: Scalar): AuthorTask {
  const { operation, sizes, options } = claimOf(file, asked);
  const lack = lackOfRoom(file.name, operation, sizes, dtype, engine.device.limits);
  if (lack) throw lack;
  let { source } = file; // as it is launched
  const task = shapedTask(operation, sizes, engine.traits).beside(options, (own, shape) => {
    const author = authorKernel(file, own, asked.workgroups);
    if (shape.dtype === dtype) {
      source = specialize(source, author.plan(shape, engine.traits.limits).constants); // what it lacks is told here
    }
    return author;
  });
  return {
    ...task,
    async compile() {
      const checks = new Checks(engine.device);
      const module = checks.within(file.name, () => engine.device.createShaderModule({ code: source }));
      const faults = describeMessages(source, (await module.getCompilationInfo()).messages);
      if (faults === "") return;
      const { message } = ownLines(file, new Error(faults), dtype);
      throw new RangeError(`${file.name} does not compile: ${message}`);
    },
    measure: (engine, select, dtype, { onFailure, ...options }) =>
      task.measure(engine, select, dtype, {
        ...options,
        onFailure: (name, error) => onFailure(name, ownLines(file, error, dtype)),
      }),
  };
}

/** Specialising for f16 puts a line `enable f16;` before the source: the author counts without it. */
function ownLines({ source }: AuthorFile, error: Error, dtype: Scalar): Error {
  if (dtype !== "f16" || !declares(source, "Scalar", "f16")) return error;
  return new Error(error.message.replace(/\bline (\d+):/g, (_, line: string) => `line ${Number(line) - 1}:`));
}

interface Claim {
  readonly operation: string;
  readonly sizes: readonly number[];
  /** Of the operation: what is optional, as the file binds it. */
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * What a file claims to compute: by `--claims`, its comment `// claims:`, or the beginning of its name.
 * @throws RangeError for a claim that there is not, and sizes that are not of its kind
 */
function claimOf(file: AuthorFile, asked: WorkbenchOptions): Claim {
  const claimed = asked.claims ?? file.claims;
  const [, operation = "", activation] =
    /^(\S+)(?:\s+(.*))?$/.exec(claimed ?? longestStart(file.name, Object.keys(OPERATIONS))) ?? [];
  const typical = Object.hasOwn(OPERATIONS, operation) ? OPERATIONS[operation] : undefined;
  const known = activation === undefined || (ACTIVATED.includes(operation) && ACTIVATIONS.includes(activation));
  if (typical === undefined || !known) {
    const what = claimed === undefined ? "does not say what it computes" : `claims "${claimed}", which there is not`;
    throw new RangeError(
      `${file.name} ${what}: write "// claims: matmul" in it; there are ${Object.keys(OPERATIONS).join(", ")}; behind ${ACTIVATED.join(", ")} may stand ${ACTIVATIONS.join(", ")}`,
    );
  }
  const { shape: sizes = typical } = asked;
  if (sizes.length !== typical.length) {
    throw new RangeError(
      `${operation} takes ${typical.length} sizes, such as ${typical.join("x")}; --shape has ${sizes.length}`,
    );
  }
  const binds = (name: string): boolean => file.bindings.some((binding) => binding.name === name);
  return {
    operation,
    sizes,
    options: {
      bias: binds("bias"),
      residual: binds("residual"),
      mask: binds("tokens"),
      tokenTypes: binds("token_type"),
      ...(activation !== undefined && { activation }),
    },
  };
}

/** Launched as it says, else as the project's kernel with whose name its own begins, else as the engine's. */
function authorKernel<S extends { readonly dtype: Scalar }>(
  file: AuthorFile,
  own: readonly Kernel<S>[],
  workgroups: Workgroups | undefined,
): Kernel<S> {
  const name = longestStart(
    file.name,
    own.map(({ name }) => name),
  );
  const like = own.find((kernel) => kernel.name === name) ?? own[0]!;
  requireBindings(file, like);
  return {
    name: file.name,
    source: file.source,
    plan(shape, limits) {
      requireStorage(file, like, shape.dtype);
      const plan = like.plan(shape, limits);
      const sizes = Object.entries<unknown>({ ...shape }).filter(
        (entry): entry is [string, number] => typeof entry[1] === "number",
      );
      const params: Record<string, number> = { ...Object.fromEntries(sizes), ...plan.params };
      for (const { name } of paramsOf(file.source)) requireSize(`Params.${name}`, name, params, file);
      const launch = workgroups ?? coveringWorkgroups(file, params, limits.maxComputeWorkgroupsPerDimension);
      if (launch === undefined) requireConstants(file, like.name, plan);
      const constants = Object.entries(plan.constants).filter(
        ([name, value]) => (launch === undefined || saysWhat(name, value)) && declares(file.source, name, value),
      );
      return {
        constants: Object.fromEntries(constants),
        params,
        workgroups: launch ?? plan.workgroups,
        label: plan.label,
      };
    },
  };
}

/** Empty where the text begins with none of them. */
function longestStart(text: string, starts: readonly string[]): string {
  return starts.filter((start) => text.startsWith(start)).reduce((a, b) => (b.length > a.length ? b : a), "");
}

/** A constant of a plan that says what is computed; the other ones say how. */
function saysWhat(name: string, value: unknown): boolean {
  return typeof value === "boolean" || name === "Scalar" || name === "ACTIVATION" || name === "MODE";
}

function requireSize(what: string, name: string, sizes: Readonly<Record<string, number>>, file: AuthorFile): number {
  const size = sizes[name];
  if (size !== undefined) return size;
  throw new RangeError(`${file.name}: no value for ${what}; of this shape there are ${Object.keys(sizes).join(", ")}`);
}

/** As many as cover the sizes that `// covers:` names; undefined where the file has no such comment. */
function coveringWorkgroups(
  file: AuthorFile,
  sizes: Readonly<Record<string, number>>,
  most: number,
): Workgroups | undefined {
  if (file.covers === undefined) return undefined;
  const [x, y = 1, z = 1] = file.covers.map(([name, covered]) => {
    const count = Math.ceil(requireSize(`"${name}" of "// covers:"`, name, sizes, file) / covered);
    if (count <= most) return count;
    throw new RangeError(
      `${file.name} covers ${covered} of ${name}: ${count} workgroups, a dimension holds at most ${most}`,
    );
  });
  return [x!, y, z];
}

/** Launched as another, it must be tuned as that is. */
function requireConstants(file: AuthorFile, like: string, { constants }: KernelPlan): void {
  const lacking = Object.entries(constants).filter(
    ([name, value]) => !saysWhat(name, value) && !declares(file.source, name, value),
  );
  if (lacking.length === 0) return;
  throw new RangeError(
    `${file.name} does not say how it is launched: write what a workgroup covers, as in "// covers: n 8, m 8", or give --workgroups; as ${like} it is not, for want of ${lacking.map(([name]) => name).join(", ")}`,
  );
}

function requireBindings(file: AuthorFile, own: { readonly name: string; readonly source: string }): void {
  const bindings = bindingsOf(own.source);
  const known = bindings.map(({ name }) => name);
  for (const { name, access } of file.bindings) {
    if (access === "uniform" ? name === "params" : known.includes(name)) continue;
    throw new RangeError(`${file.name} binds ${name}, which ${own.name} has not; it has ${known.join(", ")}`);
  }
  for (const { name } of bindings.filter(({ access }) => access === "read_write")) {
    if (file.bindings.some((binding) => binding.name === name && binding.access === "read_write")) continue;
    throw new RangeError(
      `${file.name} does not write ${name}: declare @group(0) @binding(0) var<storage, read_write> ${name}`,
    );
  }
}

function requireStorage<S>(file: AuthorFile, own: Kernel<S>, dtype: Scalar): void {
  const wanted = new Map(bindingsOf(own.source).map(({ name, type }) => [name, type]));
  for (const binding of file.bindings) {
    const type = wanted.get(binding.name)!;
    if (binding.access === "uniform" || type.includes("Word")) continue;
    const stored = elementOf(type, dtype);
    const read = storedAs(file, binding, dtype);
    if (read === stored) continue;
    throw new RangeError(
      `${binding.name} is ${binding.type}, which reads ${read}; here it is stored as ${stored}: declare "alias Scalar = f32;" and array<Scalar>, and both types are read`,
    );
  }
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
