/** Runs matmul_subgroup.wgsl where there are no matrix units: its own body, with the matrices in plain arrays. */
import type { Kernel } from "../../src/kernels/kernel.ts";

/**
 * Every thread of a subgroup holds whole matrices and computes what the unit would; a store is shared out among them.
 * What remains real is all that the kernel decides: tiles, offsets, strides, tails, barriers and the epilogue.
 * @throws TypeError when the source uses subgroup matrices in a way that is not known here
 */
export function emulateSubgroupMatrices<Shape>(kernel: Kernel<Shape>): Kernel<Shape> {
  let source = kernel.source;
  for (const [pattern, replacement] of REWRITES) {
    if (!pattern.test(source)) throw new TypeError(`${kernel.name} has nothing that matches ${pattern}`);
    source = source.replace(pattern, replacement);
  }
  const left = source.split("\n").filter((line) => /subgroup_?matri|chromium/i.test(line.replace(/\/\/.*/, "")));
  if (left.length > 0) throw new TypeError(`${kernel.name} is not emulated: ${left.join("; ")}`);
  return { ...kernel, name: `${kernel.name} emulated`, source: source + FUNCTIONS };
}

const REWRITES: readonly (readonly [RegExp, string])[] = [
  [/^enable chromium_experimental_subgroup_matrix;$/m, ""],
  [/^diagnostic\(off, chromium\.subgroup_matrix_uniformity\);$/m, ""],
  // <type, columns, rows>, all three row by row
  [/subgroup_matrix_(?:left|right|result)<(\w+), (\w+), (\w+)>/g, "array<array<$1, $2>, $3>"],
  [/subgroupMatrixLoad<Left, (row|col)_major>\(&x_tile,/, "load_left_$1("],
  [/subgroupMatrixLoad<Right, (row|col)_major>\(&weight_tile,/, "load_right_$1("],
  [/subgroupMatrixMultiplyAccumulate\(/, "multiply_accumulate("],
  [/subgroupMatrixStore<row_major>\(&sums_tile,/, "store_sums(thread % SUBGROUP,"],
];

const FUNCTIONS = `
${["row", "col"].map(loads).join("")}fn multiply_accumulate(left: Left, right: Right, before: Sums) -> Sums {
  var a = left;
  var b = right;
  var sums = before;
  for (var r = 0u; r < MATRIX_ROWS; r++) {
    for (var c = 0u; c < MATRIX_COLS; c++) {
      for (var k = 0u; k < MATRIX_DEPTH; k++) { sums[r][c] += f32(a[r][k]) * f32(b[k][c]); }
    }
  }
  return sums;
}

fn store_sums(lane: u32, start: u32, value: Sums, stride: u32) {
  var sums = value;
  for (var i = lane; i < MATRIX_ROWS * MATRIX_COLS; i += SUBGROUP) {
    sums_tile[start + i / MATRIX_COLS * stride + i % MATRIX_COLS] = sums[i / MATRIX_COLS][i % MATRIX_COLS];
  }
}
`;

/** The functions that load matrices of a layout: `[row, column]` of a row-major one is at row * stride + column. */
function loads(layout: string): string {
  const at = layout === "row" ? "start + r * stride + c" : "start + c * stride + r";
  return `
fn load_left_${layout}(start: u32, stride: u32) -> Left {
  var result: Left;
  for (var r = 0u; r < MATRIX_ROWS; r++) {
    for (var c = 0u; c < MATRIX_DEPTH; c++) { result[r][c] = x_tile[${at}]; }
  }
  return result;
}

fn load_right_${layout}(start: u32, stride: u32) -> Right {
  var result: Right;
  for (var r = 0u; r < MATRIX_DEPTH; r++) {
    for (var c = 0u; c < MATRIX_COLS; c++) { result[r][c] = weight_tile[${at}]; }
  }
  return result;
}
`;
}
