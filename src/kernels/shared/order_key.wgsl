// Floats as u32 keys of the same order, so that maxima are exact and a NaN, the greatest key, is never lost: max() of
// floats may drop it. No float has the key 0.
// And maxima over LANES threads of a workgroup, called as the sums of reduce.wgsl are.

const NAN_KEY = 0xffffffffu;
const INFINITY_KEY = 0xff800000u;
const MINUS_INFINITY_KEY = 0x007fffffu;
const LOWEST_KEY = 0x00800000u; // of the lowest finite number

var<workgroup> partial_keys: array<u32, WORKGROUP_SIZE>;

fn order_key(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return NAN_KEY; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn from_order_key(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

fn workgroup_max_key(key: u32, thread: u32) -> u32 {
  if (LANES == 1) { return key; }
  partial_keys[thread] = key;
  for (var width = LANES / 4u; width > 0; width /= 4) {
    workgroupBarrier();
    if (thread % LANES < width) {
      let pair = max(partial_keys[thread + 2 * width], partial_keys[thread + 3 * width]);
      partial_keys[thread] = max(max(partial_keys[thread], partial_keys[thread + width]), pair);
    }
  }
  workgroupBarrier();
  let greatest = partial_keys[thread / LANES * LANES];
  workgroupBarrier(); // the next call writes what others may still be reading
  return greatest;
}
