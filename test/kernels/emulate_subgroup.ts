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
  [/subgroupMatrixLoad<Left, row_major>\(&x_tile\[down\],/, "load_left(down,"],
  [/subgroupMatrixLoad<Right, col_major>\(&weight_tile\[across\],/, "load_right(across,"],
  [/subgroupMatrixMultiplyAccumulate\(/, "multiply_accumulate("],
  [/subgroupMatrixStore<row_major>\(&sums_tile\[subgroup\],/, "store_sums(thread, "],
];

// Offsets and strides are in the vec4s of the tiles.
const FUNCTIONS = `
fn load_left(part: u32, start: u32, stride: u32) -> Left {
  var result: Left;
  for (var r = 0u; r < MATRIX_ROWS; r++) {
    for (var k = 0u; k < MATRIX_DEPTH; k++) { result[r][k] = x_tile[part][start + r * stride + k / 4][k % 4]; }
  }
  return result;
}

fn load_right(part: u32, start: u32, stride: u32) -> Right {
  var result: Right;
  for (var k = 0u; k < MATRIX_DEPTH; k++) {
    for (var c = 0u; c < MATRIX_COLS; c++) { result[k][c] = weight_tile[part][start + c * stride + k / 4][k % 4]; }
  }
  return result;
}

fn multiply_accumulate(left: Left, right: Right, before: Sums) -> Sums {
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

fn store_sums(thread: u32, start: u32, value: Sums, stride: u32) {
  var sums = value;
  for (var i = thread % SUBGROUP; i < MATRIX_ROWS * MATRIX_COLS / 4; i += SUBGROUP) {
    let r = i / (MATRIX_COLS / 4);
    let four = i % (MATRIX_COLS / 4);
    let whole = sums[r];
    let c = 4 * four;
    sums_tile[thread / SUBGROUP][start + r * stride + four] = vec4f(whole[c], whole[c + 1], whole[c + 2], whole[c + 3]);
  }
}
`;
