/** Shapes and devices by the thousand, and a choice among matmuls over all of them in a few lines of text. */

import type { DeviceTraits, KernelLimits, MatrixUnit, Scalar } from "../../src/kernels/kernel.ts";
import { DEFAULT_LIMITS } from "../../src/kernels/kernel.ts";
import type { MatmulShape } from "../../src/kernels/matmul/matmul.ts";
import type { MatmulConfig } from "../../src/kernels/matmul/matmul_config.ts";

/** What is told of a choice: configs by letter, then a line for each device and dtype. */
export interface ChoiceTable {
  readonly configs: readonly MatmulConfig[];
  /** A letter for each of `SHAPES`, runs of equal ones as a letter and a number. */
  readonly chosen: Readonly<Record<string, string>>;
  /** For each of `FEW_SHAPES` the letters of what tuning would try. */
  readonly tried: Readonly<Record<string, string>>;
  /** Of each of `ASKED` on `FEW_SHAPES`: 1 where it fits. Runs as above. */
  readonly fits: Readonly<Record<string, string>>;
}

/** The functions that the table is made by. */
export interface Choice {
  matmulConfigFor(shape: MatmulShape, traits?: DeviceTraits): MatmulConfig;
  matmulCandidates(shape: MatmulShape, traits: DeviceTraits): readonly MatmulConfig[];
  matmulFits(config: MatmulConfig, shape: MatmulShape, traits: DeviceTraits): boolean;
}

export const linearShape = (m: number, n: number, k: number, dtype: Scalar): MatmulShape => ({
  ...{ m, n, k, dtype },
  ...{ bias: true, residual: false, activation: "none" },
});
type Sizes = readonly [m: number, n: number, k: number];

const WEIGHTS = [
  ...[
    [2, 768],
    [384, 384],
    [384, 1536],
    [1536, 384],
    [768, 768],
    [3072, 768],
    [768, 3072],
    [30522, 768],
  ],
  ...[
    [1024, 4096],
    [97, 101],
    [768, 766],
    [4096, 4095],
    [33, 36],
  ],
] as const;
const ROWS = [1, 2, 4, 5, 8, 9, 16, 31, 32, 33, 64, 100, 128, 129, 256, 500, 512, 1024, 4096, 16384];
export const SHAPES: readonly Sizes[] = WEIGHTS.flatMap(([n, k]) => ROWS.map((m): Sizes => [m, n!, k!]));
const FEW_SHAPES: readonly Sizes[] = [
  [768, 768],
  [3072, 768],
  [97, 101],
  [30522, 768],
].flatMap(([n, k]) => [1, 8, 32, 128, 4096].map((m): Sizes => [m, n!, k!]));

const unit = (componentType: Scalar, resultType: Scalar, M: number, N: number, K: number): MatrixUnit => ({
  ...{ componentType, resultType, M, N, K },
});
const f16Units = [unit("f16", "f16", 16, 16, 16), unit("f16", "f32", 16, 8, 16), unit("f16", "f32", 16, 16, 16)];
const appleUnits = [unit("f32", "f32", 8, 8, 8), unit("f16", "f16", 8, 8, 8), unit("f16", "f32", 8, 8, 8)];
const limits = (more: Partial<KernelLimits>): KernelLimits => ({ ...DEFAULT_LIMITS, ...more });
const roomy = limits({ maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupStorageSize: 49152 });
const apple = limits({ maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupStorageSize: 32768 });
const cramped = limits({ maxComputeInvocationsPerWorkgroup: 128, maxComputeWorkgroupStorageSize: 8192 });
const sized = (size: number) => ({ subgroupSize: size, subgroupMaxSize: size });

export const DEVICES: Readonly<Record<string, DeviceTraits | undefined>> = {
  unknown: undefined,
  ...bySoftware("software", {}),
  ...bySoftware("software 4", sized(4)),
  ...bySoftware("software 8", sized(8)),
  ...bySoftware("software 64", sized(64)),
  ...bySoftware("software 8, matrices", { ...sized(8), matrixUnits: appleUnits }),
  gpu: { limits: DEFAULT_LIMITS, software: false },
  "gpu, cramped": { limits: cramped, software: false },
  "gpu, cramped, matrices": { limits: cramped, software: false, ...sized(32), matrixUnits: f16Units },
  ...byVendor("nvidia", DEFAULT_LIMITS),
  ...byVendor("nvidia, roomy", roomy),
  "nvidia, matrices": { limits: roomy, software: false, vendor: "nvidia", ...sized(32), matrixUnits: f16Units },
  "amd, matrices": { limits: apple, software: false, vendor: "amd", ...sized(64), matrixUnits: f16Units },
  ...byVendor("amd", apple),
  ...byVendor("apple", apple),
  "apple, matrices": { limits: apple, software: false, vendor: "apple", ...sized(32), matrixUnits: appleUnits },
  ...byVendor("intel", apple),
  "intel, matrices, sizes vary": {
    ...{ limits: apple, software: false, vendor: "intel", subgroupMaxSize: 32 },
    matrixUnits: [unit("f16", "f32", 8, 16, 16)],
  },
  "intel, matrices": {
    ...{ limits: apple, software: false, vendor: "intel", ...sized(16) },
    matrixUnits: [unit("f16", "f32", 8, 16, 16)],
  },
  "odd matrices": {
    ...{ limits: roomy, software: false, vendor: "", ...sized(128) },
    matrixUnits: [unit("f32", "f32", 8, 6, 24), unit("f16", "f32", 64, 64, 64)],
  },
};

function bySoftware(name: string, more: Partial<DeviceTraits>): Record<string, DeviceTraits> {
  return { [name]: { limits: DEFAULT_LIMITS, software: true, vendor: "", ...more } };
}

function byVendor(name: string, of: KernelLimits): Record<string, DeviceTraits> {
  return { [name]: { limits: of, software: false, vendor: name.replace(/,.*/, ""), ...sized(32) } };
}

const tile = (rows: number, cols: number, depth: number, rowFours: number, colFours: number): MatmulConfig => ({
  kind: "workgroup",
  tile: { rows, cols, depth, rowFours, colFours },
});
const matrices = (of: MatrixUnit, subgroup: number, down: number, across: number, depth: number): MatmulConfig => ({
  kind: "subgroup",
  tile: {
    ...{ unit: of, subgroup, depth, subgroupsDown: 2, subgroupsAcross: 2 },
    ...{ matricesDown: down, matricesAcross: across },
  },
});
const ASKED: readonly MatmulConfig[] = [
  { kind: "register" },
  ...[1, 3, 32, 64, 128].map((split): MatmulConfig => ({ kind: "split_k", split })),
  ...[0, 4, 8, 64].map((subgroup): MatmulConfig => ({ kind: "broadcast", subgroup })),
  ...[tile(32, 32, 32, 1, 1), tile(64, 64, 16, 1, 1), tile(128, 128, 16, 2, 2), tile(256, 256, 64, 4, 4)],
  ...[tile(256, 128, 16, 1, 1), tile(128, 64, 32, 2, 1)],
  ...[matrices(f16Units[2]!, 32, 2, 2, 32), matrices(f16Units[2]!, 32, 8, 8, 32), matrices(f16Units[0]!, 32, 2, 2, 32)],
  ...[
    matrices(appleUnits[0]!, 32, 4, 4, 16),
    matrices(appleUnits[0]!, 32, 4, 4, 20),
    matrices(f16Units[2]!, 64, 1, 1, 8),
  ],
  matrices(unit("f32", "f32", 8, 6, 24), 128, 1, 1, 24),
];

export function choiceTable({ matmulConfigFor, matmulCandidates, matmulFits }: Choice): ChoiceTable {
  const letters = new Map<string, string>();
  const letterOf = (config: MatmulConfig): string => {
    const key = JSON.stringify(config);
    if (!letters.has(key)) letters.set(key, letterAt(letters.size));
    return letters.get(key)!;
  };
  const chosen: Record<string, string> = {};
  const tried: Record<string, string> = {};
  const fits: Record<string, string> = {};
  for (const [name, traits] of Object.entries(DEVICES)) {
    for (const dtype of ["f32", "f16"] as const) {
      const at = `${name} ${dtype}`;
      chosen[at] = runs(SHAPES.map((sizes) => letterOf(matmulConfigFor(linearShape(...sizes, dtype), traits))));
      if (traits === undefined) continue;
      const few = FEW_SHAPES.map((sizes) => linearShape(...sizes, dtype));
      tried[at] = runs(few.map((of) => `${matmulCandidates(of, traits).map(letterOf).join("")} `)).trim();
      fits[at] = runs(ASKED.flatMap((config) => few.map((of) => (matmulFits(config, of, traits) ? "y" : "n"))));
    }
  }
  return { configs: [...letters.keys()].map((key) => JSON.parse(key) as MatmulConfig), chosen, tried, fits };
}

function letterAt(index: number): string {
  const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  if (index >= letters.length) throw new RangeError(`there are only ${letters.length} letters`);
  return letters[index]!;
}

/** `a a a b` becomes `3a1b`. */
function runs(items: readonly string[]): string {
  const text: string[] = [];
  let from = 0;
  for (let i = 1; i <= items.length; i++) {
    if (items[i] === items[from]) continue;
    text.push(`${i - from}${items[from]}`);
    from = i;
  }
  return text.join("");
}
