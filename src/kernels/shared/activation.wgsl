// Activations, four values at a time. ACTIVATION picks one; the plan re-values it and the others compile to nothing.
// WGSL's tanh is built from exp on software adapters (5e-5 of a small result is wrong), and clamp, max and exp may
// lose a NaN: hence the polynomials, the clamped arguments, and NaN put back by its bit pattern.

const NONE = 0;
const GELU = 1;
const GELU_TANH = 2;
const RELU = 3;
const TANH = 4;
const SILU = 5;
const ERF = 6;
const ACTIVATION = 0; // one of the above

fn activate(x: vec4f) -> vec4f {
  var y = x;
  if (ACTIVATION == GELU) { y = x * normal_cdf(x); }
  if (ACTIVATION == GELU_TANH) { y = x * sigmoid(1.5957691216 * (x + 0.044715 * x * x * x)); } // 2 sqrt(2 / pi)
  if (ACTIVATION == RELU) { y = max(x, vec4f(0.0)); }
  if (ACTIVATION == TANH) { y = tanh_accurate(x); }
  if (ACTIVATION == SILU) { y = x * sigmoid(x); }
  if (ACTIVATION == ERF) { y = erf(x); }
  return select(y, x, is_nan(x));
}

// By bits: a compiler may take `x != x` for false.
fn is_nan(x: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}

// Relative accuracy holds in the lower tail: exp grows to 1e38 there and its reciprocal falls with it. Beyond, it is 0:
// the smallest reciprocal would still make -5 of an x of -3e38.
fn sigmoid(x: vec4f) -> vec4f {
  return select(1.0 / (1.0 + exp(min(-x, vec4f(87.0)))), vec4f(), x < vec4f(-87.0));
}

// For |x| <= 1: erf(x) / x, a minimax polynomial in x^2 (1.2e-9).
fn erf_ratio(x: vec4f) -> vec4f {
  let s = x * x;
  return 1.12837917 + s * (-0.376126258 + s * (0.112835852 + s * (-0.0268538131
    + s * (0.00518832961 + s * (-0.000801020887 + s * 7.85390784e-05)))));
}

// For x >= 1: 1 - erf(x), as exp(-x^2) times a minimax polynomial in 1 / (1 + x / 2) (relative 1.1e-8).
fn erfc_tail(x: vec4f) -> vec4f {
  let t = 1.0 / (1.0 + 0.5 * x);
  return exp(-x * x) * t * (0.282098025 + t * (0.282047013 + t * (0.246904035 + t * (0.179040318
    + t * (0.0603418953 + t * (0.0834478682 + t * (-0.227064418 + t * 0.0937644364)))))));
}

fn erf(x: vec4f) -> vec4f {
  let a = min(abs(x), vec4f(10.0)); // erf is 1 in f32 from 4 on
  return select(x * erf_ratio(x), sign(x) * (1.0 - erfc_tail(a)), a > vec4f(1.0));
}

// Phi(x) = (1 + erf(x / sqrt 2)) / 2. The lower tail never forms the difference 1 - erf, which would lose its digits.
fn normal_cdf(x: vec4f) -> vec4f {
  let z = x * 0.7071067812;
  let a = min(abs(z), vec4f(11.0)); // exp(-121) is 0
  let tail = 0.5 * erfc_tail(a);
  return select(0.5 + 0.5 * z * erf_ratio(z), select(tail, 1.0 - tail, x > vec4f(0.0)), a > vec4f(1.0));
}

fn tanh_accurate(x: vec4f) -> vec4f {
  let s = x * x;
  let near = x * (0.999999996 + s * (-0.333332606 + s * (0.133311279
    + s * (-0.0537210875 + s * (0.0205910381 + s * -0.00566003521)))));
  let far = sign(x) * (1.0 - 2.0 / (exp(2.0 * min(abs(x), vec4f(10.0))) + 1.0));
  return select(near, far, abs(x) > vec4f(0.625));
}
