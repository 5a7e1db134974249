// Floats as u32 keys of the same order, so that maxima are exact and a NaN, the greatest key, is never lost: max() of
// floats may drop it. No float has the key 0.
// And maxima over a workgroup of WORKGROUP_SIZE threads, a power of four: every thread must call, and gets the result.

const NAN_KEY = 0xffffffffu;
const INFINITY_KEY = 0xff800000u;
const MINUS_INFINITY_KEY = 0x007fffffu;

var<workgroup> partial_keys: array<u32, WORKGROUP_SIZE>;

fn order_key(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return NAN_KEY; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn from_order_key(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

fn workgroup_max_key(key: u32, lane: u32) -> u32 {
  partial_keys[lane] = key;
  for (var width = WORKGROUP_SIZE / 4u; width > 0; width /= 4) {
    workgroupBarrier();
    if (lane < width) {
      let pair = max(partial_keys[lane + 2 * width], partial_keys[lane + 3 * width]);
      partial_keys[lane] = max(max(partial_keys[lane], partial_keys[lane + width]), pair);
    }
  }
  workgroupBarrier();
  let greatest = partial_keys[0];
  workgroupBarrier(); // the next call writes what others may still be reading
  return greatest;
}
