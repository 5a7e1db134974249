// The vectors of a row, in fours, or each an element where cols is not a multiple of 4.
// #import "rows/total.wgsl"

alias Scalar = f32;
alias Vector = vec4<Scalar>; // or Scalar
alias Sum = vec4f; // f32 there
alias Keys = vec4u; // u32 there
const WIDTH = 4; // of a vector: 1 there

fn greatest_of(keys: Keys) -> u32 {
  let each = vec4u(keys);
  return max(max(each.x, each.y), max(each.z, each.w));
}
