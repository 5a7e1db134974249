/**
 * The kernel contract. A kernel is a WGSL file, a plan (arithmetic on shapes), a CPU twin and rows in test/cases.ts. Nothing
 * here touches a GPU: a kernel can be planned, specialised and inspected anywhere. And what plans share: checks of shapes,
 * and how threads share rows.
 */

/** Element type of a tensor on the GPU. Kernels accumulate in f32 whatever the storage is. */
export type Scalar = "f32" | "f16";

/** The device limits that plans depend on; a `GPUSupportedLimits` fits. */
export interface KernelLimits {
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupStorageSize: number;
}

/** WebGPU's default limits: what every device grants. */
export const DEFAULT_LIMITS: KernelLimits = {
  maxComputeWorkgroupsPerDimension: 65535,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
};

/** Matrices that the adapter's matrix units multiply: an entry of `adapter.info.subgroupMatrixConfigs`. */
export interface MatrixUnit {
  readonly componentType: Scalar;
  readonly resultType: Scalar;
  /** [M, K] times [K, N]. */
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** What was found best on a device, by classes of shapes. What an entry holds, the operation's own choice knows. */
export type Tuning = Readonly<Record<string, { readonly kind: string; readonly [field: string]: unknown }>>;

/** What the choice among kernels of one operation depends on. */
export interface DeviceTraits {
  readonly limits: KernelLimits;
  /** Computed by the CPU. */
  readonly software: boolean;
  /** As the adapter tells it, lower case: `nvidia`, `apple`, `intel`, `amd`; empty where it is withheld. */
  readonly vendor?: string;
  /** Of the device, where it has the feature `chromium-experimental-subgroup-matrix`. */
  readonly matrixUnits?: readonly MatrixUnit[];
  /** Threads of the largest subgroup. */
  readonly subgroupMaxSize?: number;
  /** Threads of every subgroup, where they are all of one size and the device has the feature `subgroups`. */
  readonly subgroupSize?: number;
  /** Whether kernels may use subgroups, of whatever size, and number them: the feature `subgroups`, and WGSL's `subgroup_id`. */
  readonly subgroupIds?: boolean;
  /** Whether a kernel may ask for subgroups of one size: the feature `subgroup-size-control`. */
  readonly subgroupSizeControl?: boolean;
  /** Measured on this device: goes before what is known of its kind. */
  readonly tuning?: Tuning | undefined;
  /** Goes before the built-in choice of attention, where it has a kernel for a shape: `attentionSubgroupFor` is one. */
  readonly attention?: ((shape: never, traits: DeviceTraits) => Kernel<never> | undefined) | undefined;
  /** Whether no choice may depend on the number of rows, so that a row is the same bits whatever comes with it. */
  readonly batchInvariant?: boolean | undefined;
  /** Goes after all choices. */
  readonly avoid?: Substitutes | undefined;
}

/** Other kernels in place of some that are not to be launched on a device. */
export interface Substitutes {
  /** Those that are not to be. */
  readonly avoided: readonly string[];
  /** One that computes the same by the same bindings; the kernel itself where it will do, or there is no other. */
  of<S>(kernel: Kernel<S>, shape: S, traits: DeviceTraits): Kernel<S>;
}

/** A value for a top-level `const` (number, boolean) or `alias` (type name) of a .wgsl file. */
export type Constant = number | boolean | string;

export type Workgroups = readonly [x: number, y: number, z: number];

/** How to run a kernel on one shape. */
export interface KernelPlan {
  /** New values for the source's `const` and `alias` declarations. */
  readonly constants: Readonly<Record<string, Constant>>;
  /** Values of the fields of the source's `struct Params`, by name. */
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: Workgroups;
  /** The shape in words, for labels and profiles: `128x768x768`. */
  readonly label: string;
}

export interface Kernel<Shape> {
  readonly name: string;
  /** Complete WGSL, valid as it stands with its default values. */
  readonly source: string;
  /** Device features that the source asks for beside f16. */
  readonly features?: readonly string[];
  /** Bindings that it writes only where somebody wants them: a constant says so, and then they may be left out. */
  readonly optional?: readonly string[];
  plan(shape: Shape, limits: KernelLimits): KernelPlan;
}

export interface Binding {
  readonly binding: number;
  readonly name: string;
  readonly access: "read" | "read_write" | "uniform";
  /** WGSL type as written, e.g. `array<Scalar>`. */
  readonly type: string;
}

export interface ParamField {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32";
}

/** The bindings of a WGSL source in the order of their numbers. Only group 0 is used. */
export function bindingsOf(source: string): Binding[] {
  const pattern =
    /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(uniform|storage)\s*(?:,\s*(read_write|read)\s*)?>\s*(\w+)\s*:\s*([^;]+);/g;
  const bindings: Binding[] = [];
  for (const [, binding, space, access, name, type] of stripComments(source).matchAll(pattern)) {
    bindings.push({
      binding: Number(binding),
      name: name!,
      access: space === "uniform" ? "uniform" : ((access ?? "read") as "read" | "read_write"),
      type: type!.trim(),
    });
  }
  return bindings.sort((a, b) => a.binding - b.binding);
}

/** The fields of `struct Params`, in order: 4-byte scalars only. Empty when the source has none. */
export function paramsOf(source: string): ParamField[] {
  const body = /struct\s+Params\s*\{([^}]*)\}/.exec(stripComments(source))?.[1];
  if (body === undefined) return [];
  return [...body.matchAll(/(\w+)\s*:\s*([\w<>]+)/g)].map(([, name, type]) => {
    if (type !== "u32" && type !== "i32" && type !== "f32") {
      throw new TypeError(`Params.${name} is ${type}; a field of Params must be u32, i32 or f32`);
    }
    return { name: name!, type };
  });
}

/** The bytes of `struct Params` for these values, padded to 16 as uniform buffers want. Every field must be given. */
export function packParams(fields: readonly ParamField[], values: Readonly<Record<string, number>>): Uint8Array {
  const bytes = new Uint8Array(Math.max(16, Math.ceil((fields.length * 4) / 16) * 16));
  const view = new DataView(bytes.buffer);
  fields.forEach(({ name, type }, i) => {
    const value = values[name];
    if (value === undefined) throw new TypeError(`no value for Params.${name}`);
    view[type === "f32" ? "setFloat32" : "setUint32"](4 * i, value, true); // an i32 wraps to the same bits
  });
  return bytes;
}

/** Among constants, the threads that every subgroup shall have: an attribute of the entry point. */
export const SUBGROUP_SIZE = "@subgroup_size";

/**
 * Re-values top-level `const NAME = ...;` and `alias Name = ...;` declarations, and adds `enable f16;` when a type is f16.
 * Of `SUBGROUP_SIZE` it makes the entry point's attribute, and enables it.
 * @throws TypeError when the source declares no such name: a misspelt constant must not pass silently.
 */
export function specialize(source: string, constants: Readonly<Record<string, Constant>>): string {
  const { [SUBGROUP_SIZE]: threads, ...declared } = constants;
  let result = source;
  if (threads !== undefined) {
    result = `enable subgroup_size_control;\n${source.replace("@compute @", `@compute @subgroup_size(${threads}) @`)}`;
  }
  for (const [name, value] of Object.entries(declared)) {
    const kind = typeof value === "string" ? "alias" : "const";
    const pattern = new RegExp(`^(${kind}\\s+${name}\\b[^=;]*=)[^;]*;`, "m");
    if (!pattern.test(result)) throw new TypeError(`the WGSL source declares no ${kind} ${name} to re-value`);
    result = result.replace(pattern, `$1 ${String(value)};`);
  }
  const needsF16 = Object.values(constants).some((value) => typeof value === "string" && /\bf16\b/.test(value));
  return needsF16 ? `enable f16;\n${result}` : result;
}

/**
 * Workgroups for `count` independent items in one dispatch: a row of them, folded into y where one dimension is too
 * short. Kernels recover the item as `workgroup_id.y * num_workgroups.x + workgroup_id.x` and return past `count`.
 */
export function foldWorkgroups(count: number, limits: KernelLimits): Workgroups {
  const most = limits.maxComputeWorkgroupsPerDimension;
  if (count <= most) return [Math.max(count, 1), 1, 1];
  const y = Math.ceil(count / most);
  if (y > most) throw new RangeError(`${count} workgroups asked, the device dispatches at most ${most} x ${most}`);
  return [Math.ceil(count / y), y, 1];
}

function stripComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/[^\n]*/g, "");
}

/** Elements that a u32 can number. */
export const INDEXABLE: number = 4_294_967_296;

/**
 * Checks that each size is a whole number of at least 1.
 * @throws TypeError for what is not a whole number, RangeError for zero, negative or beyond a u32
 */
export function requireSizes(kernel: string, sizes: Readonly<Record<string, number>>): void {
  requireWhole(kernel, sizes, 1);
}

/** As `requireSizes`, for offsets: zero is allowed. */
export function requireOffsets(kernel: string, offsets: Readonly<Record<string, number>>): void {
  requireWhole(kernel, offsets, 0);
}

/** @throws RangeError when a tensor of so many elements cannot be indexed by the kernels' u32 arithmetic */
export function requireIndexable(kernel: string, elements: Readonly<Record<string, number>>): void {
  for (const [tensor, count] of Object.entries(elements)) {
    if (count > INDEXABLE) {
      throw new RangeError(`${kernel}: ${tensor} has ${count} elements, kernels index at most ${INDEXABLE}; split it`);
    }
  }
}

/** @throws RangeError when `value` is not a finite number of at least 0 */
export function requireEpsilon(kernel: string, value: number): void {
  if (!(Number.isFinite(value) && value >= 0)) {
    throw new RangeError(`${kernel}: eps is ${value}, it must be finite and not negative`);
  }
}

function requireWhole(kernel: string, values: Readonly<Record<string, number>>, least: number): void {
  for (const [field, value] of Object.entries(values)) {
    if (!Number.isInteger(value)) throw new TypeError(`${kernel}: ${field} is ${value}, it must be a whole number`);
    if (value < least || value >= INDEXABLE) {
      throw new RangeError(`${kernel}: ${field} is ${value}, it must be from ${least} to ${INDEXABLE - 1}`);
    }
  }
}

/** The vectors that a row is made of, as stored and in f32: constants of a kernel's source. */
export interface RowVectors {
  readonly WIDTH: number;
  readonly Vector: string;
  readonly Sum: string;
}

/** Vectors of four where rows of `cols` divide into them, else of one. */
export function rowVectors(cols: number): RowVectors {
  return cols % 4 === 0
    ? { WIDTH: 4, Vector: "vec4<Scalar>", Sum: "vec4f" }
    : { WIDTH: 1, Vector: "Scalar", Sum: "f32" };
}

/** As `rowVectors`, with the type of keys that order the elements of a vector. */
export function keyedVectors(cols: number): RowVectors & { readonly Keys: string } {
  const vectors = rowVectors(cols);
  return { ...vectors, Keys: vectors.WIDTH === 4 ? "vec4u" : "u32" };
}

/** Rows that a thread each takes, side by side in a workgroup: the width of a CPU's vectors. */
const ROWS_ABREAST = 8;

/**
 * Who takes a row. A workgroup: its threads read neighbouring places, as a GPU wants. A thread alone: no barrier, which
 * is what a CPU that plays GPU wants.
 */
export type RowOwner = "workgroup" | "thread";

export function rowOwnerFor({ software }: Pick<DeviceTraits, "software">): RowOwner {
  return software ? "thread" : "workgroup";
}

/** As `RowOwner`, for a kernel that has a variant whose workgroups reduce within subgroups first: fewer barriers. */
export type RowReducer = RowOwner | "subgroups";

export function rowReducerFor(traits: Pick<DeviceTraits, "software" | "subgroupIds">): RowReducer {
  const owner = rowOwnerFor(traits);
  return owner === "workgroup" && traits.subgroupIds ? "subgroups" : owner;
}

/** What a kernel is called, and its source, by who takes a row: that of a workgroup or a thread, or the variant for subgroups. */
export function rowKernel(
  reducer: RowReducer,
  name: string,
  source: string,
  subgroups: string,
): Pick<Kernel<never>, "name" | "source" | "features"> {
  return reducer === "subgroups"
    ? { name: `${name}_subgroup`, source: subgroups, features: ["subgroups"] }
    : { name, source };
}

/** Vectors that one thread adds to a single running sum: more would round too often. */
const MOST_VECTORS = 1024;

/**
 * The plan of a kernel with constants LANES and WORKGROUP_SIZE whose threads share rows of vectors.
 * @param constants among them WIDTH, the elements of a vector
 * @param mostVectors a thread is not left alone with a row of more
 */
export function planRows(
  owner: RowReducer,
  limits: KernelLimits,
  constants: KernelPlan["constants"] & { readonly WIDTH: number },
  params: KernelPlan["params"] & { readonly rows: number; readonly cols: number },
  mostVectors: number = MOST_VECTORS,
): KernelPlan {
  const { rows, cols } = params;
  const vectors = cols / constants.WIDTH;
  const alone = owner === "thread" && vectors <= mostVectors;
  const size = alone ? ROWS_ABREAST : rowWorkgroupSize(vectors, limits, owner === "subgroups" ? 32 : 16);
  return {
    constants: { ...constants, LANES: alone ? 1 : size, WORKGROUP_SIZE: size },
    params,
    workgroups: foldWorkgroups(alone ? Math.ceil(rows / size) : rows, limits),
    label: `${rows}x${cols}`,
  };
}

/**
 * Threads of a workgroup that owns a row: enough to share a long row, few where barriers would cost more than the row.
 * @param least of a short row: a power of four, as shared/reduce.wgsl wants; through subgroups as many as most GPUs' have
 */
export function rowWorkgroupSize(items: number, limits: KernelLimits, least: number = 16): number {
  const wanted = items <= 128 ? least : items <= 4096 ? 64 : 256;
  return limits.maxComputeInvocationsPerWorkgroup >= wanted ? wanted : 64;
}
