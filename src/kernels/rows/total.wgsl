// The sum of a Sum's elements: of four where WIDTH is 4, of one where it is 1 and the kernel's Sum is f32.

fn total(sum: Sum) -> f32 { // which becomes four times the same number where it is one
  return dot(vec4f(sum), vec4f(f32(WIDTH) / 4));
}
