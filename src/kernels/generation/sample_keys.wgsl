// Draws the next token: of each row the greatest of `scores` becomes a sample of softmax(scores / temperature) over the
// tokens that top-k and top-p leave, because to each is added a number of the Gumbel distribution (Gumbel-max).
//   batch   [rows / WIDTH]  the source of each WIDTH rows, or NOBODY
//   names   [slots]         a number for each slot's sequence, wherever it stands: the same draws in any batch
//   scores  [rows, vocab]   what is left out becomes LOWEST
// Top-k leaves what is no less than the k-th greatest. Top-p leaves the fewest of the most probable whose probabilities
// sum to top_p at least; of equals all or none. Both find a bound by halving the range of the keys that order floats.
// Draws are of 23 bits. One workgroup owns a row.
// #import "generation/batch.wgsl"
// #import "shared/philox.wgsl"
// #import "shared/reduce.wgsl"
// #import "shared/order_key.wgsl"
// #import "shared/max_key.wgsl"

const WORKGROUP_SIZE = 256;
const LANES = WORKGROUP_SIZE;
const LOWEST = -3.4028234e38;

struct Params {
  rows: u32,
  vocab: u32,
  temperature: f32,
  top_k: u32, // 0 for all
  top_p: f32, // 1 for all
  seed: u32,
  step: u32, // the place of the newest token
}

@group(0) @binding(1) var<storage, read> names: array<u32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let slot = slot_of(row);
  if (slot == NOBODY) { return; }
  let first = row * params.vocab;
  var key = 0u;
  for (var i = lane.thread; i < params.vocab; i += WORKGROUP_SIZE) {
    let score = scores[first + i];
    if (score > LOWEST) { scores[first + i] = max(score / params.temperature, LOWEST); }
    key = max(key, order_key(scores[first + i]));
  }
  let greatest = workgroup_max_key(key, lane);
  let best = from_order_key(greatest);

  // One loop for both, with a single sum in it: what each call of it brings in, some drivers take seconds to compile.
  var bound = LOWEST_KEY + 1; // keys below it are left out
  for (var rule = 0u; rule < 2; rule++) {
    let by_mass = rule == 1;
    if (!select(params.top_k > 0, params.top_p < 1.0, by_mass)) { continue; }
    var low = select(LOWEST_KEY, bound - 1, by_mass); // top_k keys are no less than it; up to it is too little mass
    var high = select(greatest + 1, greatest, by_mass); // of which that is not true
    var most = 0.0;
    for (var bit = 0u; bit < 33; bit++) { // as often for all threads, which meet at barriers; the first is the total
      let middle = select(low + (high - low) / 2, greatest, by_mass && bit == 0);
      let begin = select(middle, bound, by_mass);
      let end = select(greatest, middle, by_mass);
      var own = 0.0;
      for (var i = lane.thread; i < params.vocab; i += WORKGROUP_SIZE) {
        let score = scores[first + i];
        let key = order_key(score);
        if (key >= begin && key <= end) { own += select(1.0, exp(score - best), by_mass); }
      }
      let sum = workgroup_sum(own, lane);
      if (by_mass && bit == 0) { most = (1.0 - params.top_p) * sum; continue; }
      if (select(sum >= f32(params.top_k), sum <= most, by_mass)) { low = middle; } else { high = middle; }
    }
    bound = select(max(bound, low), high, by_mass);
  }
  let name = names[slot];
  for (var i = lane.thread; i < params.vocab; i += WORKGROUP_SIZE) {
    let score = scores[first + i];
    let drawn = philox(vec4u(i / 4, name, params.step, 0), vec2u(params.seed, 0x67756d62u))[i % 4];
    let uniform_number = (f32(drawn >> 9) + 0.5) * 1.1920928955078125e-7; // 2^-23: never 0, never 1
    let gumbel = -log(-log(uniform_number));
    scores[first + i] = select(LOWEST, score + gumbel, order_key(score) >= bound);
  }
}
