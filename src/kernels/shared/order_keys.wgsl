// order_key.wgsl for each element of a vector. The kernel declares Sum, f32 or a vector of it, and Keys, u32 alike.
// #import "shared/order_key.wgsl"

fn order_keys(values: Sum) -> Keys {
  let bits = bitcast<Keys>(values);
  let keys = select(bits | Keys(0x80000000u), ~bits, bits >= Keys(0x80000000u));
  return select(keys, Keys(NAN_KEY), (bits & Keys(0x7fffffffu)) > Keys(0x7f800000u));
}

fn from_order_keys(keys: Keys) -> Sum {
  return bitcast<Sum>(select(~keys, keys & Keys(0x7fffffffu), keys >= Keys(0x80000000u)));
}
