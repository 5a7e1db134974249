// The vectors that rows of logits are made of: single elements, for an odd number of them.

alias Scalar = f32;
alias Vector = Scalar;
alias Sum = f32;
const WIDTH = 1;
const PLACES = 0u; // of a vector's elements

fn total(sum: Sum) -> f32 {
  return sum;
}

fn greatest_of(value: Sum) -> f32 {
  return value;
}
