/** What a kernel author can claim a file to compute: by the project's kernel for it, its CPU twin and its bound. */

import { attentionKernelFor } from "../src/kernels/attention/attention.ts";
import { bindingsOf, type DeviceTraits, type Kernel, paramsOf, type Scalar } from "../src/kernels/kernel.ts";
import { matmulKernelFor } from "../src/kernels/matmul/matmul_choice.ts";
import { ACTIVATION_CODES, type Activation } from "../src/kernels/rows/activation.ts";
import { l2NormalizeBy } from "../src/kernels/rows/l2_normalize.ts";
import { embedLayernormBy, layernormBy } from "../src/kernels/rows/layernorm.ts";
import { softmaxKernelFor } from "../src/kernels/rows/softmax.ts";
import { rowOwnerFor } from "../src/kernels/shape.ts";
import {
  activationCases,
  attentionCase,
  attentionCases,
  attentionProbsCases,
  type Case,
  type CaseTable,
  embedLayernormCases,
  gatherRowsCases,
  l2NormalizeCases,
  layernormCases,
  linear,
  matmulCases,
  poolCases,
  softmaxCases,
  topKCases,
} from "../test/cases.ts";
import { sampledMatmul } from "./kernel_cases.ts";
import { type KernelTask, kernelTask } from "./kernels.ts";
import { probabilitiesOf, rowsCase } from "./sized_cases.ts";
import { type AuthorFile, declares, numericConstants, storedAs, workgroupsOf } from "./workbench_file.ts";

/** What the command line says beside the file. */
export interface WorkbenchOptions {
  readonly claims?: string;
  readonly shape?: readonly number[];
  readonly workgroups?: string;
}

type Sizes = readonly number[] | undefined;
type Bound = (binding: string) => boolean;

/** A claim whose shape is made for a file: from the sizes asked for and the optional operands that the file binds. */
type Claim = (file: AuthorFile, options: WorkbenchOptions, traits: DeviceTraits, dtype: Scalar) => KernelTask;

const ACTIVATIONS = Object.keys(ACTIVATION_CODES).filter((name): name is Activation => name !== "none");

const CLAIMS: Readonly<Record<string, Claim>> = {
  matmul: matmulClaim("none"),
  ...Object.fromEntries(ACTIVATIONS.map((name) => [`matmul ${name}`, matmulClaim(name)])),
  attention: claim(attentionCases, (sizes, binds) => attentionOf("attention", sizes, binds), {
    kernel: attentionKernelFor,
  }),
  attention_probs: claim(attentionProbsCases, (sizes, binds) =>
    probabilitiesOf(attentionOf("attention_probs", sizes, binds)),
  ),
  layernorm: claim(
    layernormCases,
    (sizes, binds) => withShape(rows("layernorm", layernormCases, sizes), { residual: binds("residual") }),
    { kernel: (_, traits) => layernormBy(rowOwnerFor(traits)) },
  ),
  softmax: claim(softmaxCases, (sizes) => rows("softmax", softmaxCases, sizes), { kernel: softmaxKernelFor }),
  l2_normalize: claim(l2NormalizeCases, (sizes) => rows("l2_normalize", l2NormalizeCases, sizes), {
    kernel: (_, traits) => l2NormalizeBy(rowOwnerFor(traits)),
  }),
  ...Object.fromEntries(ACTIVATIONS.map((name) => [name, activationClaim(name)])),
  embed_layernorm: claim(
    embedLayernormCases,
    (sizes, binds) =>
      withShape(typical("embed_layernorm", embedLayernormCases, sizes), { tokenTypes: binds("token_type") }),
    { kernel: (_, traits) => embedLayernormBy(rowOwnerFor(traits)) },
  ),
  pool: claim(poolCases, (sizes, binds) => withShape(typical("pool", poolCases, sizes), { mask: binds("tokens") })),
  gather_rows: claim(gatherRowsCases, (sizes) => typical("gather_rows", gatherRowsCases, sizes)),
  top_k: claim(topKCases, (sizes) => typical("top_k", topKCases, sizes)),
};

/**
 * What a file claims to compute: by `--claims`, its comment `// claims:`, or the beginning of its name.
 * @returns the task that holds it beside the project's own kernels; undefined when it claims nothing
 * @throws RangeError for a claim that there is not, and for a file whose bindings, params or workgroups do not fit it
 */
export function claimedTask(
  file: AuthorFile,
  options: WorkbenchOptions,
  traits: DeviceTraits,
  dtype: Scalar,
): KernelTask | undefined {
  const claimed = options.claims ?? file.notes.claims;
  if (claimed === undefined) {
    const longest = Object.keys(CLAIMS).sort((a, b) => b.length - a.length);
    const name = longest.find((name) => file.name.startsWith(name));
    return name === undefined ? undefined : CLAIMS[name]!(file, options, traits, dtype);
  }
  if (Object.hasOwn(CLAIMS, claimed)) return CLAIMS[claimed]!(file, options, traits, dtype);
  const known = Object.keys(CLAIMS).filter((name) => !name.includes(" "));
  throw new RangeError(
    `${file.name} claims "${claimed}", which there is not; there are ${known.join(", ")}, and matmul with an activation: "matmul gelu"`,
  );
}

function claim<S extends { readonly dtype: Scalar }>(
  table: CaseTable<S>,
  caseOf: (sizes: Sizes, binds: Bound) => Case<S>,
  {
    kernel,
    engineFirst = true,
  }: { readonly kernel?: (shape: S, traits: DeviceTraits) => Kernel<S>; readonly engineFirst?: boolean } = {},
): Claim {
  return (file, options, traits, dtype) => {
    const of = caseOf(options.shape, (name) => file.bindings.some((binding) => binding.name === name));
    const own = (shape: S): readonly Kernel<S>[] => (kernel ? [kernel(shape, traits)] : table.kernels(shape, traits));
    const first = own({ ...of.shape, dtype: "f32" } as unknown as S)[0]!;
    requireBindings(file, first, Object.keys(of.outputs));
    const author = authorKernel(file, first, options.workgroups);
    author.plan({ ...of.shape, dtype } as unknown as S, traits.limits); // what it lacks is told before anything runs
    return kernelTask({ ...table, engineFirst, kernels: (shape) => [...own(shape), author] }, of);
  };
}

/** Constants of a plan that say what is computed; its other ones say how, and that is the author's business. */
function sayWhat([name, value]: readonly [string, unknown]): boolean {
  return typeof value === "boolean" || name === "Scalar" || name === "ACTIVATION" || name === "MODE";
}

/** Planned as the project's kernel on the shape, but for the workgroups. */
function authorKernel<S extends { readonly dtype: Scalar }>(
  file: AuthorFile,
  own: Kernel<S>,
  workgroups: string | undefined,
): Kernel<S> {
  return {
    name: file.name,
    source: file.source,
    plan(shape, limits) {
      requireStorage(file, own, shape.dtype);
      const plan = own.plan(shape, limits);
      const constants = Object.fromEntries(
        Object.entries(plan.constants).filter((entry) => sayWhat(entry) && declares(file.source, ...entry)),
      );
      const sizes = Object.entries<unknown>({ ...shape }).filter(
        (entry): entry is [string, number] => typeof entry[1] === "number",
      );
      const params: Record<string, number> = { ...Object.fromEntries(sizes), ...plan.params };
      for (const { name } of paramsOf(file.source)) {
        if (name in params) continue;
        const known = Object.keys(params).join(", ");
        throw new RangeError(`${file.name}: no value for Params.${name}; of this shape there are ${known}`);
      }
      const names = { ...numericConstants(file.source, constants), ...params };
      const most = limits.maxComputeWorkgroupsPerDimension;
      return { constants, params, workgroups: workgroupsOf(file, workgroups, names, most), label: plan.label };
    },
  };
}

function requireBindings(file: AuthorFile, own: { name: string; source: string }, outputs: readonly string[]): void {
  const known = bindingsOf(own.source).map(({ name }) => name);
  for (const { name, access } of file.bindings) {
    if (access === "uniform" ? name === "params" : known.includes(name)) continue;
    throw new RangeError(`${file.name} binds ${name}, which ${own.name} has not; it has ${known.join(", ")}`);
  }
  for (const name of outputs) {
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
    const stored = /u32/.test(type) ? "u32" : /<f32>|vec4f/.test(type) ? "f32" : dtype;
    const read = storedAs(file, binding, dtype);
    if (read === stored) continue;
    throw new RangeError(
      `${binding.name} is ${binding.type}, which reads ${read}; here it is stored as ${stored}: declare "alias Scalar = f32;" and array<Scalar>, and both types are read`,
    );
  }
}

function matmulClaim(activation: Activation): Claim {
  return claim(
    { ...matmulCases, reference: sampledMatmul },
    (sizes = [128, 768, 768], binds) => {
      const [m, n, k] = sized("matmul", sizes, "MxNxK");
      const options = { bias: binds("bias"), residual: binds("residual"), activation };
      return { ...linear(m, n, k, options), outputs: { out: m * n } };
    },
    { kernel: matmulKernelFor },
  );
}

function activationClaim(activation: Activation): Claim {
  return claim(
    activationCases,
    (sizes, binds) => withShape(rows(activation, activationCases, sizes), { activation, bias: binds("bias") }),
    { engineFirst: false }, // alone it is never launched: the engine's matmuls apply it
  );
}

function attentionOf(name: string, sizes: Sizes = [128, 12, 64], binds: Bound): ReturnType<typeof attentionCase> {
  const [tokens, heads, headDim] = sized(name, sizes, "TOKENSxHEADSxHEADDIM");
  return attentionCase([tokens], heads, headDim, { mask: binds("tokens") });
}

function rows<S extends { readonly dtype: Scalar; readonly rows: number; readonly cols: number }>(
  name: string,
  table: CaseTable<S>,
  sizes: Sizes,
): Case<S> {
  const of = table.typical[0]!;
  if (sizes === undefined) return of;
  if (sizes.length !== 2) throw new RangeError(`--shape of ${name} is ROWSxCOLS; ${sizes.length} sizes given`);
  return rowsCase(of, sizes[0]!, sizes[1]!);
}

function typical<S extends { readonly dtype: Scalar }>(name: string, table: CaseTable<S>, sizes: Sizes): Case<S> {
  if (sizes === undefined) return table.typical[0]!;
  throw new RangeError(`${name} is measured on one shape: leave --shape ${sizes.join("x")} out`);
}

function sized(name: string, sizes: readonly number[], form: string): [number, number, number] {
  if (sizes.length !== 3) throw new RangeError(`--shape of ${name} is ${form}; ${sizes.length} sizes given`);
  return sizes as [number, number, number];
}

function withShape<S>(of: Case<S>, fields: Partial<Omit<S, "dtype">>): Case<S> {
  return { ...of, shape: { ...of.shape, ...fields } };
}
