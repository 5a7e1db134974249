// The numbers of one optimizer step, which all of its updates share: norm and clipping, the learning rate, the bias
// corrections, the loss scale. A gradient that is not finite advances nothing but the count of such steps.
//   partials  [count]  sums of squares of the gradients times the loss scale, of sum_squares.wgsl
//   losses    [1]      the sum of the losses since the last step; set to 0
//   state     State
// One workgroup. The sums of squares are added in a tree; one thread does the rest.
// #import "shared/reduce.wgsl"
// #import "optimizer/state.wgsl"

const WORKGROUP_SIZE = 64;
const LANES = WORKGROUP_SIZE;
const CONSTANT = 0;
const LINEAR = 1;
const COSINE = 2;
const GROWTH = 2.0; // of the loss scale, after so many good steps
const SHRINK = 0.5;
const MOST_SCALE = 16777216.0;
const PI = 3.14159265358979;

struct Params {
  count: u32,
  learning_rate: f32, // at its highest
  schedule: u32, // one of the above: how it falls after the warm-up
  warmup: f32, // steps in which it rises from 0
  total: f32, // steps in all
  log_beta1: f32,
  log_beta2: f32,
  max_norm: f32, // 0: the gradient is not clipped
  grow_after: u32, // good steps; 0: the loss scale stays
}

@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> losses: array<f32>;
@group(0) @binding(2) var<storage, read_write> state: State;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(lane: Lane) {
  var squares = 0.0;
  for (var i = lane.thread; i < params.count; i += WORKGROUP_SIZE) { squares += partials[i]; }
  squares = workgroup_sum(squares, lane);
  if (lane.thread > 0) { return; }
  // By bits: compilers may take it that no float is NaN.
  let finite = (bitcast<u32>(squares) & 0x7f800000u) != 0x7f800000u;
  let scale = state.loss_scale;
  let norm = sqrt(squares) / scale;
  state.norm = norm;
  state.finite = u32(finite);
  state.loss = losses[0];
  losses[0] = 0.0;
  state.learning_rate = learning_rate_at(f32(state.steps));
  var factor = 1.0 / scale;
  if (params.max_norm > 0.0) { factor *= min(1.0, params.max_norm / (norm + 1e-6)); }
  state.factor = factor;
  if (finite) {
    state.steps += 1;
    state.good += 1;
    state.correction1 = -expm1(f32(state.steps) * params.log_beta1);
    state.correction2 = -expm1(f32(state.steps) * params.log_beta2);
  } else {
    state.skipped += 1;
    state.good = 0;
    if (params.grow_after > 0) { state.loss_scale = max(scale * SHRINK, 1.0); }
  }
  if (params.grow_after > 0 && state.good >= params.grow_after) {
    state.good = 0;
    state.loss_scale = min(scale * GROWTH, MOST_SCALE);
  }
}

fn learning_rate_at(step: f32) -> f32 {
  if (step < params.warmup) { return params.learning_rate * step / params.warmup; }
  let progress = clamp((step - params.warmup) / max(params.total - params.warmup, 1.0), 0.0, 1.0);
  if (params.schedule == LINEAR) { return params.learning_rate * (1.0 - progress); }
  if (params.schedule == COSINE) { return params.learning_rate * 0.5 * (1.0 - sine((progress - 0.5) * PI)); }
  return params.learning_rate;
}

// Of an x from -pi/2 to pi/2, by its series: WGSL's own may be wrong by 2^-11.
fn sine(x: f32) -> f32 {
  let s = x * x;
  return x * (1 - s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72 * (1 - s / 110 * (1 - s / 156))))));
}

// e^x - 1, which keeps its digits for a small x: those of 1 - 0.999^t depend on it.
fn expm1(x: f32) -> f32 {
  let series = x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7))))));
  return select(exp(x) - 1, series, abs(x) < 0.4);
}
