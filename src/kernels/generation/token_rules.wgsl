// What may be written next: the scores of the vocabulary, with what the rules forbid at LOWEST. In the order of
// transformers: log softmax (if LOG), repetition penalty, n-grams of the sequence, n-grams of the source, forbidden
// words, no end before the least length, and what is forced.
//   batch       [rows / WIDTH]      the source of each WIDTH rows, or NOBODY
//   logits      [rows, vocab]
//   chains      [slots, capacity]   the slot that wrote each place of a slot's sequence
//   tokens      [slots, capacity]   what each slot has written, place by place
//   cu_seqlens  [sources + 1]       element of source_ids where each source begins, and the end of the last
//   source_ids  [source tokens]
//   lists       first `ends` ids that end a sequence, from `words` on `word_count` words, each its length and its ids
//   scores      [rows, vocab]
// One workgroup owns a row.
// #import "generation/batch.wgsl"
// #import "shared/reduce.wgsl"
// #import "shared/order_key.wgsl"
// #import "shared/max_key.wgsl"

alias Scalar = f32;
const WORKGROUP_SIZE = 256;
const LANES = WORKGROUP_SIZE;
const LOG = false; // log softmax before the rules
const LOWEST = -3.4028234e38; // and not minus infinity, which WGSL does not promise

struct Params {
  rows: u32,
  vocab: u32,
  capacity: u32,
  penalty: f32, // of tokens that are there already; 1 for none
  ngram: u32, // tokens of what may not come twice; 0 for no rule
  source_ngram: u32, // the same for what may not come from the source
  least: u32, // tokens of a sequence before it may end
  ends: u32, // ids that end it
  words: u32,
  word_count: u32,
  forced_begin: u32, // of lists: the ids of which one must come; none where it is forced_end
  forced_end: u32,
  step: u32, // the place of the newest token
}

@group(0) @binding(1) var<storage, read> logits: array<Scalar>;
@group(0) @binding(2) var<storage, read> chains: array<u32>;
@group(0) @binding(3) var<storage, read> tokens: array<u32>;
@group(0) @binding(4) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(5) var<storage, read> source_ids: array<u32>;
@group(0) @binding(6) var<storage, read> lists: array<u32>;
@group(0) @binding(7) var<storage, read_write> scores: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

var<private> chain: u32; // where the slot's begins

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
  chain = slot * params.capacity;
  let first = row * params.vocab;
  let length = params.step + 1; // tokens of the sequence

  var shift = 0.0;
  if (LOG) {
    var key = 0u;
    for (var i = lane.thread; i < params.vocab; i += WORKGROUP_SIZE) {
      key = max(key, order_key(f32(logits[first + i])));
    }
    let greatest = from_order_key(workgroup_max_key(key, lane));
    var sum = 0.0;
    for (var i = lane.thread; i < params.vocab; i += WORKGROUP_SIZE) { sum += exp(f32(logits[first + i]) - greatest); }
    shift = greatest + log(workgroup_sum(sum, lane));
  }
  let forced = params.forced_end > params.forced_begin;
  for (var i = lane.thread; i < params.vocab; i += WORKGROUP_SIZE) {
    scores[first + i] = select(f32(logits[first + i]) - shift, LOWEST, forced);
  }
  storageBarrier();
  if (forced) {
    for (var at = params.forced_begin + lane.thread; at < params.forced_end; at += WORKGROUP_SIZE) {
      scores[first + lists[at]] = 0.0;
    }
    return;
  }
  if (params.penalty != 1.0) {
    for (var at = lane.thread; at < length; at += WORKGROUP_SIZE) {
      let id = written(at);
      var again = false; // once for each token, by its first place
      for (var before = 0u; before < at; before++) { again |= written(before) == id; }
      let score = scores[first + id];
      if (!again) { scores[first + id] = select(score / params.penalty, score * params.penalty, score < 0.0); }
    }
  }
  storageBarrier();
  if (params.ngram > 0) {
    for (var at = lane.thread; at + params.ngram <= length; at += WORKGROUP_SIZE) {
      var same = true;
      for (var i = 0u; i + 1 < params.ngram; i++) { same &= written(at + i) == written(length + 1 - params.ngram + i); }
      if (same) { scores[first + written(at + params.ngram - 1)] = LOWEST; }
    }
  }
  if (params.source_ngram > 0 && length + 1 >= params.source_ngram) {
    let begin = cu_seqlens[slot / WIDTH];
    let end = cu_seqlens[slot / WIDTH + 1];
    for (var at = begin + lane.thread; at + params.source_ngram <= end; at += WORKGROUP_SIZE) {
      var same = true;
      for (var i = 0u; i + 1 < params.source_ngram; i++) {
        same &= source_ids[at + i] == written(length + 1 - params.source_ngram + i);
      }
      let id = source_ids[at + params.source_ngram - 1];
      if (same && id < params.vocab) { scores[first + id] = LOWEST; } // the encoder's vocabulary may be larger
    }
  }
  if (lane.thread == 0) {
    var at = params.words;
    for (var word = 0u; word < params.word_count; word++) {
      let size = lists[at];
      var same = size <= length;
      for (var i = 0u; same && i + 1 < size; i++) { same = lists[at + 1 + i] == written(length + 1 - size + i); }
      if (same) { scores[first + lists[at + size]] = LOWEST; }
      at += size + 1;
    }
  }
  if (length < params.least) {
    for (var i = lane.thread; i < params.ends; i += WORKGROUP_SIZE) { scores[first + lists[i]] = LOWEST; }
  }
}

// The token at a place of the slot's sequence.
fn written(at: u32) -> u32 {
  return tokens[chains[chain + at] * params.capacity + at];
}
