// The vectors of a row in pairs, for an even number of columns.

alias Scalar = f32;
alias Vector = vec2<Scalar>;
alias Sum = vec2f;
alias Keys = vec2u;
const WIDTH = 2;

fn total(sum: Sum) -> f32 {
  return sum.x + sum.y;
}

fn greatest_of(keys: Keys) -> u32 {
  return max(keys.x, keys.y);
}
