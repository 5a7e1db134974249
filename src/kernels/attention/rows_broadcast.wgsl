// What a subgroup does with the 16 rows that it owns: each thread loads a row for all, in subgroups of four 4 of them,
// and has four other rows to itself. Rows are numbered by constants, so that they stay in registers.

alias Rows = array<vec4f, 16>;
alias Held = array<vec4f, 16 / SUBGROUP>;

// Adds the products of each row and each of the thread's four: of four elements, as `fours` has them.
fn add_scores(s: Rows, held: Held, fours: mat4x4f) -> Rows {
  return Rows(
    add_products(s[0], subgroupBroadcast(held[0 / SUBGROUP], 0 % SUBGROUP), fours),
    add_products(s[1], subgroupBroadcast(held[1 / SUBGROUP], 1 % SUBGROUP), fours),
    add_products(s[2], subgroupBroadcast(held[2 / SUBGROUP], 2 % SUBGROUP), fours),
    add_products(s[3], subgroupBroadcast(held[3 / SUBGROUP], 3 % SUBGROUP), fours),
    add_products(s[4], subgroupBroadcast(held[4 / SUBGROUP], 4 % SUBGROUP), fours),
    add_products(s[5], subgroupBroadcast(held[5 / SUBGROUP], 5 % SUBGROUP), fours),
    add_products(s[6], subgroupBroadcast(held[6 / SUBGROUP], 6 % SUBGROUP), fours),
    add_products(s[7], subgroupBroadcast(held[7 / SUBGROUP], 7 % SUBGROUP), fours),
    add_products(s[8], subgroupBroadcast(held[8 / SUBGROUP], 8 % SUBGROUP), fours),
    add_products(s[9], subgroupBroadcast(held[9 / SUBGROUP], 9 % SUBGROUP), fours),
    add_products(s[10], subgroupBroadcast(held[10 / SUBGROUP], 10 % SUBGROUP), fours),
    add_products(s[11], subgroupBroadcast(held[11 / SUBGROUP], 11 % SUBGROUP), fours),
    add_products(s[12], subgroupBroadcast(held[12 / SUBGROUP], 12 % SUBGROUP), fours),
    add_products(s[13], subgroupBroadcast(held[13 / SUBGROUP], 13 % SUBGROUP), fours),
    add_products(s[14], subgroupBroadcast(held[14 / SUBGROUP], 14 % SUBGROUP), fours),
    add_products(s[15], subgroupBroadcast(held[15 / SUBGROUP], 15 % SUBGROUP), fours),
  );
}

// For each row the weight of one of the four of thread `giver`.
fn given(w: Rows, which: u32, giver: u32) -> array<f32, 16> {
  return array<f32, 16>(
    subgroupShuffle(w[0][which], giver), subgroupShuffle(w[1][which], giver),
    subgroupShuffle(w[2][which], giver), subgroupShuffle(w[3][which], giver),
    subgroupShuffle(w[4][which], giver), subgroupShuffle(w[5][which], giver),
    subgroupShuffle(w[6][which], giver), subgroupShuffle(w[7][which], giver),
    subgroupShuffle(w[8][which], giver), subgroupShuffle(w[9][which], giver),
    subgroupShuffle(w[10][which], giver), subgroupShuffle(w[11][which], giver),
    subgroupShuffle(w[12][which], giver), subgroupShuffle(w[13][which], giver),
    subgroupShuffle(w[14][which], giver), subgroupShuffle(w[15][which], giver),
  );
}

// Adds w x to each row.
fn add_weighed(o: Rows, w: array<f32, 16>, x: vec4f) -> Rows {
  return Rows(
    fma(vec4f(w[0]), x, o[0]), fma(vec4f(w[1]), x, o[1]), fma(vec4f(w[2]), x, o[2]), fma(vec4f(w[3]), x, o[3]),
    fma(vec4f(w[4]), x, o[4]), fma(vec4f(w[5]), x, o[5]), fma(vec4f(w[6]), x, o[6]), fma(vec4f(w[7]), x, o[7]),
    fma(vec4f(w[8]), x, o[8]), fma(vec4f(w[9]), x, o[9]), fma(vec4f(w[10]), x, o[10]), fma(vec4f(w[11]), x, o[11]),
    fma(vec4f(w[12]), x, o[12]), fma(vec4f(w[13]), x, o[13]), fma(vec4f(w[14]), x, o[14]), fma(vec4f(w[15]), x, o[15]),
  );
}

// Without the first.
fn next_rows(o: Rows) -> Rows {
  return Rows(
    o[1], o[2], o[3], o[4], o[5], o[6], o[7], o[8], o[9], o[10], o[11], o[12], o[13], o[14], o[15], vec4f(),
  );
}

// Bit i of a key: whether the query i rows on keeps it.
fn kept_by_queries(row: u32, key: u32, head: u32) -> vec4u {
  var bits = vec4u();
  for (var i = 0u; i < 16; i++) { bits |= vec4u(keeps(row + i, key, head)) << vec4u(i); }
  return bits;
}

// Bit i: whether the query keeps the key i on.
fn kept_keys(row: u32, key: u32, head: u32) -> u32 {
  var bits = 0u;
  for (var i = 0u; i < 16; i += 4) { bits |= dot(vec4u(keeps(row, key + i, head)), vec4u(1, 2, 4, 8)) << i; }
  return bits;
}

fn has_bit(bits: vec4u, i: u32) -> vec4<bool> {
  return (bits & vec4u(1u << i)) != vec4u();
}
