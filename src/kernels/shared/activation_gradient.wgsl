// Derivatives of the activations, four values at a time.
// #import "shared/activation.wgsl"

fn activation_gradient(x: vec4f) -> vec4f {
  var y = vec4f(1.0);
  if (ACTIVATION == GELU) { y = normal_cdf(x) + x * 0.3989422804 * exp(-0.5 * x * x); } // 1 / sqrt(2 pi)
  if (ACTIVATION == GELU_TANH) {
    let s = sigmoid(1.5957691216 * (x + 0.044715 * x * x * x)); // 2 sqrt(2 / pi)
    y = s + x * s * (1.0 - s) * (1.5957691216 + 0.2140644488 * x * x);
  }
  if (ACTIVATION == RELU) { y = select(vec4f(), y, x > vec4f()); }
  if (ACTIVATION == TANH) { y = one_minus_tanh_squared(x); }
  if (ACTIVATION == SILU) {
    let s = sigmoid(x);
    y = s * (1.0 + x * (1.0 - s));
  }
  return select(y, x, is_nan(x));
}

// 4 / (e^x + e^-x)^2, which keeps its digits where tanh is nearly 1.
fn one_minus_tanh_squared(x: vec4f) -> vec4f {
  let e = exp(-2.0 * min(abs(x), vec4f(40.0)));
  return 4.0 * e / ((1.0 + e) * (1.0 + e));
}
