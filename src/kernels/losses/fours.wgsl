// The vectors that rows of logits are made of: fours, where a row divides into them.

alias Scalar = f32;
alias Vector = vec4<Scalar>;
alias Sum = vec4f;
const WIDTH = 4;
const PLACES = vec4u(0, 1, 2, 3); // of a vector's elements

fn total(sum: Sum) -> f32 {
  return (sum.x + sum.y) + (sum.z + sum.w);
}

fn greatest_of(values: Sum) -> f32 {
  return max(max(values.x, values.y), max(values.z, values.w));
}
