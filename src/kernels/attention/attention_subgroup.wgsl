// out = softmax(q k^T * scale) v as attention.wgsl computes it, with the same operands and Params, on the matrix units
// of a GPU (tensor cores). One workgroup of SUBGROUPS subgroups owns QUERIES queries of one sequence and head, and
// COLUMNS columns of v; one subgroup owns ROWS of the queries, and takes the keys in blocks of KEYS with a running
// softmax. No element of a subgroup matrix can be touched: scores go by workgroup memory to the threads, of which four
// share a row, and come back as weights: in f16 each as the sum of two, since one would round more than out does. Sums
// are f32. Weights are relative to a level near the greatest score so far. It moves only where a weight would grow too
// large, since the sums then go by workgroup memory too: rarely after the first block.
// #import "attention/inference.wgsl"
// #import "attention/operands_vec4.wgsl"
// #import "attention/sequences.wgsl"
// #import "attention/subgroup_sums.wgsl"
// #import "attention/subgroup_tiles.wgsl"
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// What is uniform in a subgroup (its number, from the thread's) the compiler does not see.
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);

const MATRIX_ROWS = 8;
const MATRIX_COLS = 8;
const MATRIX_DEPTH = 8;
const SUBGROUP = 32; // threads of every subgroup of the device
const SUBGROUPS = 4;
const KEYS = 32; // of a block
const HEAD_DIM = 16; // params.head_dim
const COLUMNS = 16;
const PARTS = 1; // that a weight is the sum of: 1 in f32, 2 in f16
const PAD = 1; // vec4s between rows in workgroup memory, so that they start in different banks: 16 bytes
const ROWS = MATRIX_ROWS;
const QUERIES = SUBGROUPS * ROWS;
const THREADS = SUBGROUPS * SUBGROUP;
const DEPTHS = (HEAD_DIM + MATRIX_DEPTH - 1) / MATRIX_DEPTH;
const HEAD_FOURS = DEPTHS * MATRIX_DEPTH / 4;
const HEAD_STRIDE = HEAD_FOURS + PAD;
const KEY_STRIDE = KEYS / 4 + PAD;
const HAS_MASK = false;
const CAUSAL = false; // a query sees the keys up to its own place in the sequence
const LIFT = 7.0; // log2 of what the greatest score weighs: far from where f16 ends below
const SLACK = 8.0; // and of by how much that may grow before the level moves: not to where f16 ends above
const_assert MATRIX_DEPTH % 4 == 0 && MATRIX_COLS % 4 == 0 && SUBGROUP % 4 == 0 && KEYS % 16 == 0;
const_assert KEYS % MATRIX_DEPTH == 0 && KEYS % MATRIX_COLS == 0 && KEYS % ROWS == 0 && COLUMNS % MATRIX_COLS == 0;

alias Left = subgroup_matrix_left<Scalar, MATRIX_DEPTH, MATRIX_ROWS>;
alias Right = subgroup_matrix_right<Scalar, MATRIX_COLS, MATRIX_DEPTH>;
alias Matrix = subgroup_matrix_result<f32, MATRIX_COLS, MATRIX_ROWS>;
alias Sums = array<Matrix, COLUMNS / MATRIX_COLS>;

@group(0) @binding(3) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(4) var<storage, read> cu_seqlens_k: array<u32>;
@group(0) @binding(5) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> out: array<Vec4>;
@group(0) @binding(7) var<uniform> params: Params;

var<workgroup> weights: array<Vec4, PARTS * QUERIES * KEY_STRIDE>; // [part, query, four of keys]
var<workgroup> moved: atomic<u32>; // whether the level did of a query that had seen keys

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let item = workgroup.y * workgroups.x + workgroup.x;
  let tile = item % params.tiles;
  let slice = item / params.tiles % params.slices;
  let head = item / params.tiles / params.slices;
  if (head >= params.heads) { return; }
  let sequence = sequence_of(tile);
  let first_query = cu_seqlens[sequence];
  let queries = cu_seqlens[sequence + 1] - first_query;
  let first_key = cu_seqlens_k[sequence];
  let tile_start = (tile - first_tile(sequence)) * QUERIES;
  if (tile_start >= queries) { return; }
  var keys = cu_seqlens_k[sequence + 1] - first_key;
  if (CAUSAL) { keys = min(keys, tile_start + QUERIES); }
  let own = thread / SUBGROUP * ROWS; // the subgroup's first query of the tile
  let has_queries = tile_start + own < queries;
  let quarter = thread % 4; // of a row: every fourth four
  let q_start = (first_query * params.q_stride + params.q_offset + head * params.head_dim) / WIDTH;
  var lefts: array<Left, DEPTHS>;
  for (var first = 0u; first < QUERIES; first += KEYS) {
    fill_q(q_start, tile_start + first, queries, thread);
    workgroupBarrier();
    if (own >= first && own < first + KEYS) {
      for (var d = 0u; d < DEPTHS; d++) {
        let at = (own - first) * HEAD_STRIDE + d * (MATRIX_DEPTH / 4);
        lefts[d] = subgroupMatrixLoad<Left, row_major>(&rows_tile, at, HEAD_STRIDE);
      }
    }
    workgroupBarrier();
  }

  let k_start = (first_key * params.k_stride + params.k_offset + head * params.head_dim) / WIDTH;
  let v_start = (first_key * params.v_stride + params.v_offset + head * params.value_dim) / WIDTH;
  var level: array<f32, TURNS>;
  var shrink: array<f32, TURNS>;
  var total: array<f32, TURNS>;
  for (var turn = 0u; turn < TURNS; turn++) { level[turn] = FLOOR; }
  var sums: Sums;
  for (var block = 0u; block < keys; block += KEYS) {
    fill_k(k_start, block, keys, thread);
    fill_v(v_start, block, keys, slice, thread);
    if (thread == 0) { atomicStore(&moved, 0); }
    workgroupBarrier();

    if (has_queries) {
      for (var j = 0u; j < KEYS; j += MATRIX_COLS) {
        var found = Matrix();
        for (var d = 0u; d < DEPTHS; d++) {
          let at = j * HEAD_STRIDE + d * (MATRIX_DEPTH / 4);
          let right = subgroupMatrixLoad<Right, col_major>(&rows_tile, at, HEAD_STRIDE);
          found = subgroupMatrixMultiplyAccumulate(lefts[d], right, found);
        }
        subgroupMatrixStore<row_major>(&scores, own * SCORE_STRIDE + j / 4, found, SCORE_STRIDE);
      }
    }
    workgroupBarrier();

    for (var turn = 0u; turn < TURNS; turn++) {
      let row = own + row_of(turn, thread);
      let query = tile_start + row; // counted in the sequence, as keys are
      var s: array<vec4f, FOURS>;
      var top = LOWEST;
      for (var i = 0u; i < FOURS; i++) {
        let key = block + (i * 4 + quarter) * 4 + vec4u(0, 1, 2, 3);
        var seen = (key < vec4u(keys)) & causal(key, query);
        if (HAS_MASK) { seen &= kept(first_key + min(key, vec4u(keys - 1))); }
        s[i] = visible(scores[row * SCORE_STRIDE + i * 4 + quarter], seen);
        top = max(top, max4(s[i]));
      }
      top = max(top, quadSwapX(top)); top = max(top, quadSwapY(top));
      let before = level[turn];
      if (top > before + LIFT + SLACK) {
        level[turn] = top - LIFT;
        if (before > FLOOR) { atomicStore(&moved, 1); }
      }
      shrink[turn] = exp2(before - level[turn]);
      total[turn] *= shrink[turn];
      for (var i = 0u; i < FOURS; i++) {
        s[i] = exp2(s[i] - level[turn]);
        total[turn] += dot(s[i], vec4f(1));
        let weight = drop_some(s[i], first_query + query, block + (i * 4 + quarter) * 4, head);
        let at = row * KEY_STRIDE + i * 4 + quarter;
        if (PARTS == 1) {
          weights[at] = Vec4(weight);
        } else { // the bits that f16 has room for, and the rest: compilers may leave out a conversion there and back
          let near = bitcast<vec4f>(bitcast<vec4u>(weight) & vec4u(0xffffe000));
          weights[at] = Vec4(near);
          weights[at + QUERIES * KEY_STRIDE] = Vec4(weight - near);
        }
      }
    }

    if (workgroupUniformLoad(&moved) != 0) { // a barrier too
      for (var first = 0u; first < COLUMNS; first += KEYS) {
        put_sums(&sums, own, first);
        for (var turn = 0u; turn < TURNS; turn++) {
          let at = (own + row_of(turn, thread)) * SCORE_STRIDE + quarter;
          for (var i = 0u; i < FOURS && thread % SUBGROUP < ROWS * 4; i++) { scores[at + i * 4] *= shrink[turn]; }
        }
        take_sums(&sums, own, first);
      }
    }

    if (has_queries) {
      for (var d = 0u; d < KEYS; d += MATRIX_DEPTH) {
        for (var part = 0u; part < PARTS; part++) {
          let start = (part * QUERIES + own) * KEY_STRIDE + d / 4;
          let left = subgroupMatrixLoad<Left, row_major>(&weights, start, KEY_STRIDE);
          for (var j = 0u; j < COLUMNS / MATRIX_COLS; j++) {
            let right = subgroupMatrixLoad<Right, col_major>(&v_tile, j * MATRIX_COLS * KEY_STRIDE + d / 4, KEY_STRIDE);
            sums[j] = subgroupMatrixMultiplyAccumulate(left, right, sums[j]);
          }
        }
      }
    }
    workgroupBarrier();
  }

  for (var first = 0u; first < COLUMNS; first += KEYS) {
    put_sums(&sums, own, first);
    for (var turn = 0u; turn < TURNS; turn++) {
      let row = own + row_of(turn, thread);
      let query = tile_start + row;
      var sum = total[turn] + quadSwapX(total[turn]);
      sum += quadSwapY(sum);
      if (query >= queries) { continue; }
      let out_row = (first_query + query) * params.heads + head;
      if (slice == 0 && first == 0 && quarter == 0) { keep_lse(out_row, level[turn], sum); }
      for (var i = 0u; i < FOURS; i++) {
        let within = first + (i * 4 + quarter) * 4;
        let column = slice * COLUMNS + within;
        let result = select(scores[row * SCORE_STRIDE + i * 4 + quarter] / sum, vec4f(), sum == 0.0);
        let at = (out_row * params.value_dim + column) / 4;
        if (within < COLUMNS && column < params.value_dim) { out[at] = Vec4(result); }
      }
    }
    workgroupBarrier();
  }
}
