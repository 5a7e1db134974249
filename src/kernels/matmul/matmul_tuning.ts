/** Reads what `tuneMatmul` found back from wherever it was kept, without trusting it. */
import type { Scalar } from "../kernel.ts";
import type { MatmulConfig, MatmulTuning, SubgroupTile, WorkgroupTile } from "./matmul_config.ts";

/** Beyond these a tile takes more threads or memory than any device has, or minutes to compile. */
const MOST = { rows: 256, cols: 256, depth: 64, rowFours: 4, colFours: 4 } as const;
const MOST_SUBGROUP = {
  ...{ subgroup: 128, subgroupsDown: 8, subgroupsAcross: 8 },
  ...{ matricesDown: 16, matricesAcross: 16, depth: 128 },
} as const;
const MOST_MATRIX = 64;

/**
 * The config that an untrusted value is, with nothing else in it.
 * @throws TypeError that names the fault
 */
export function parseMatmulConfig(value: unknown): MatmulConfig {
  const fields = fieldsOf(value, "a config");
  switch (fields.kind) {
    case "register":
      return { kind: "register" };
    case "split_k": {
      const split = wholeNumber(fields.split, "split", 64);
      if (64 % split !== 0) throw new TypeError(`split is ${split}, it must divide 64`);
      return { kind: "split_k", split };
    }
    case "workgroup":
      return { kind: "workgroup", tile: parseWorkgroupTile(fields.tile) };
    case "broadcast":
      return { kind: "broadcast", subgroup: wholeNumber(fields.subgroup, "subgroup", 16) };
    case "subgroup":
      return { kind: "subgroup", tile: parseSubgroupTile(fields.tile) };
    default:
      throw new TypeError(
        `kind is ${shown(fields.kind)}, it must be register, workgroup, split_k, broadcast or subgroup`,
      );
  }
}

function parseWorkgroupTile(value: unknown): WorkgroupTile {
  const fields = fieldsOf(value, "tile");
  const size = (name: keyof WorkgroupTile): number => wholeNumber(fields[name], `tile.${name}`, MOST[name]);
  const [rows, cols, depth, rowFours, colFours] = [
    size("rows"),
    size("cols"),
    size("depth"),
    size("rowFours"),
    size("colFours"),
  ];
  requireMultiple("tile.rows", rows, 4 * rowFours);
  requireMultiple("tile.cols", cols, 4 * colFours);
  requireMultiple("tile.depth", depth, 4);
  return { rows, cols, depth, rowFours, colFours };
}

function parseSubgroupTile(value: unknown): SubgroupTile {
  const fields = fieldsOf(value, "tile");
  const size = (name: keyof typeof MOST_SUBGROUP): number =>
    wholeNumber(fields[name], `tile.${name}`, MOST_SUBGROUP[name]);
  const unit = fieldsOf(fields.unit, "tile.unit");
  const side = (name: "M" | "N" | "K"): number => wholeNumber(unit[name], `tile.unit.${name}`, MOST_MATRIX);
  const type = (name: "componentType" | "resultType"): Scalar => {
    const given = unit[name];
    if (given === "f32" || given === "f16") return given;
    throw new TypeError(`tile.unit.${name} is ${shown(given)}, it must be f32 or f16`);
  };
  const depth = size("depth");
  requireMultiple("tile.depth", depth, 4);
  requireMultiple("tile.depth", depth, side("K"));
  return {
    unit: {
      componentType: type("componentType"),
      resultType: type("resultType"),
      M: side("M"),
      N: side("N"),
      K: side("K"),
    },
    subgroup: size("subgroup"),
    ...(fields.sized === true && { sized: true }),
    subgroupsDown: size("subgroupsDown"),
    subgroupsAcross: size("subgroupsAcross"),
    matricesDown: size("matricesDown"),
    matricesAcross: size("matricesAcross"),
    depth,
  };
}

/**
 * The table that an untrusted value is.
 * @throws TypeError that names the class and the fault
 */
export function parseMatmulTuning(value: unknown): MatmulTuning {
  return Object.fromEntries(
    Object.entries(fieldsOf(value, "a tuning")).map(([key, config]) => {
      try {
        return [key, parseMatmulConfig(config)];
      } catch (error) {
        throw new TypeError(`${shown(key)}: ${(error as Error).message}`);
      }
    }),
  );
}

function fieldsOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new TypeError(`${what} is ${shown(value)}, it must be an object`);
}

function wholeNumber(value: unknown, name: string, most: number): number {
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most) return value as number;
  throw new TypeError(`${name} is ${shown(value)}, it must be a whole number from 1 to ${most}`);
}

function requireMultiple(name: string, value: number, of: number): void {
  if (value % of !== 0) throw new TypeError(`${name} is ${value}, it must be a multiple of ${of}`);
}

/** Briefly: whatever a file holds must fit into a message. */
function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "missing").slice(0, 60);
}
