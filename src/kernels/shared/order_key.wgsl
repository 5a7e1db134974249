// Floats as u32 keys of the same order, so that maxima are exact and a NaN, the greatest key, is never lost: max() of
// floats may drop it. No float has the key 0.

const NAN_KEY = 0xffffffffu;
const INFINITY_KEY = 0xff800000u;
const MINUS_INFINITY_KEY = 0x007fffffu;
const LOWEST_KEY = 0x00800000u; // of the lowest finite number

fn order_key(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return NAN_KEY; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn from_order_key(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}
