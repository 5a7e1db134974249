// The vectors that rows are made of, as stored and in f32.

alias Scalar = f32;
alias Vector = vec4<Scalar>; // Scalar where cols is not a multiple of 4
alias Sum = vec4f; // f32 there
const WIDTH = 4; // of a vector: 1 there
