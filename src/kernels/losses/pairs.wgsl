// The vectors that rows of logits are made of: pairs, as BERT's vocabulary of 30522 divides into.

alias Scalar = f32;
alias Vector = vec2<Scalar>;
alias Sum = vec2f;
const WIDTH = 2;
const PLACES = vec2u(0, 1); // of a vector's elements

fn total(sum: Sum) -> f32 {
  return sum.x + sum.y;
}

fn greatest_of(values: Sum) -> f32 {
  return max(values.x, values.y);
}
