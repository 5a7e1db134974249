// One step of beam search, for each source by itself, as transformers does it: of the candidates of all its beams the
// best go on, and those that end go among the finished if they are better than one there.
//   batch    [rows / WIDTH]         the source of each WIDTH rows, or NOBODY
//   values   [rows, candidates]     log probabilities of the best tokens of each row, descending
//   indices  [rows, candidates]     and the tokens
//   lists    first `ends` ids that end a sequence
//   tokens   [slots, capacity]      what each slot has written, place by place
//   chains   [2, slots, capacity]   the slot that wrote each place: of the beams, then of the finished sequences
//   sums     [2, slots]             log probability of each beam; score of each finished sequence
//   ended    [2, slots] [sources]   length of each finished sequence, 0 where there is none; its last token; and
//                                   of each source 0 while it goes on, 1 when it is done, NO_NUMBER once a score was
//                                   no number
// One workgroup owns a source: a thread chooses, then each thread copies every WORKGROUP_SIZE-th place of the chains.
// #import "generation/batch.wgsl"

const WORKGROUP_SIZE = 64;
const CANDIDATES = 2; // of a row, and as many as are chosen of all rows
const NO_NUMBER = 0xffffffffu;
const WORST = -1e9; // of what is not to be

struct Params {
  rows: u32,
  width: u32, // WIDTH, as candidates is CANDIDATES: loops to a number that is not constant are not unrolled, which some
  candidates: u32, // drivers would take many seconds to compile
  slots: u32,
  capacity: u32,
  ends: u32,
  stops: u32, // 1: a source is done as soon as WIDTH of its sequences are finished
  step: u32, // the place of the newest token
  last: u32, // 1: the sequences reach their greatest length with this step
  divisor: f32, // of the score of a sequence that ends now: its length, to the power of the length penalty
  reach: f32, // the same of the length that a beam may still come to
}

@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> lists: array<u32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> chains: array<u32>;
@group(0) @binding(6) var<storage, read_write> sums: array<f32>;
@group(0) @binding(7) var<storage, read_write> ended: array<u32>;
@group(0) @binding(8) var<uniform> params: Params;

var<workgroup> parents: array<u32, WIDTH>; // of the beams that go on
var<workgroup> finished: array<u32, WIDTH>; // WIDTH + its parent for a new one, else which old one

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group.y * groups.x + group.x;
  if (item * WIDTH >= params.rows) { return; }
  let source = batch[item];
  if (source == NOBODY) { return; }
  let first = source * WIDTH; // slot
  if (lane == 0) { choose(item * WIDTH, source); }
  workgroupBarrier();
  let of_finished = params.slots * params.capacity;
  for (var at = lane; at <= params.step; at += WORKGROUP_SIZE) {
    var beams: array<u32, WIDTH>;
    var old: array<u32, WIDTH>;
    for (var b = 0u; b < params.width; b++) {
      beams[b] = chains[(first + b) * params.capacity + at];
      old[b] = chains[of_finished + (first + b) * params.capacity + at];
    }
    for (var b = 0u; b < params.width; b++) {
      chains[(first + b) * params.capacity + at] = beams[parents[b]];
      let from_one = finished[b];
      chains[of_finished + (first + b) * params.capacity + at] =
        select(old[from_one % WIDTH], beams[from_one % WIDTH], from_one >= WIDTH);
    }
  }
}

fn choose(row: u32, source: u32) {
  let first = source * WIDTH;
  let state = 2 * params.slots + source;
  var beam_sums: array<f32, WIDTH>; // of the beams, then of those that go on
  var scores: array<f32, WIDTH>; // of the finished sequences, descending
  var lengths: array<u32, WIDTH>;
  var lasts: array<u32, WIDTH>;
  var count = 0u; // of the finished
  for (var b = 0u; b < params.width; b++) {
    beam_sums[b] = sums[first + b];
    scores[b] = sums[params.slots + first + b];
    lengths[b] = ended[first + b];
    lasts[b] = ended[params.slots + first + b];
    if (lengths[b] > 0) { count++; }
    finished[b] = b;
    parents[b] = b;
  }
  let closed = ended[state] != 0 || (count == WIDTH && params.stops == 1);
  var taken: array<u32, WIDTH>; // candidates of each row
  var going = 0u;
  var next_sums: array<f32, WIDTH>;
  var no_number = false;
  for (var rank = 0u; rank < params.candidates; rank++) {
    var parent = 0u;
    var sum = 0.0;
    var none = true;
    for (var b = 0u; b < params.width; b++) { // rows are sorted: the best is the first that is left of one of them
      if (taken[b] == CANDIDATES) { continue; }
      let value = values[(row + b) * CANDIDATES + taken[b]] + beam_sums[b];
      no_number |= (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
      if (none || value > sum) { parent = b; sum = value; none = false; }
    }
    let token = indices[(row + parent) * CANDIDATES + taken[parent]];
    taken[parent]++;
    var ends = params.last == 1;
    for (var i = 0u; i < params.ends; i++) { ends |= lists[i] == token; }
    if (!ends) {
      if (going < WIDTH) {
        parents[going] = parent;
        next_sums[going] = sum;
        tokens[(first + going) * params.capacity + params.step + 1] = token;
        going++;
      }
    } else if (rank < WIDTH && !closed) {
      let score = sum / params.divisor;
      var place = count;
      while (place > 0 && score > scores[place - 1]) { place--; }
      if (place == WIDTH) { continue; }
      count = min(count + 1, WIDTH);
      for (var b = count - 1; b > place; b--) {
        scores[b] = scores[b - 1]; lengths[b] = lengths[b - 1]; lasts[b] = lasts[b - 1]; finished[b] = finished[b - 1];
      }
      scores[place] = score; lengths[place] = params.step + 2; lasts[place] = token; finished[place] = WIDTH + parent;
    }
  }
  let full = count == WIDTH;
  for (var b = 0u; b < params.width; b++) {
    sums[params.slots + first + b] = scores[b];
    ended[first + b] = lengths[b];
    ended[params.slots + first + b] = lasts[b];
    sums[first + b] = select(WORST, next_sums[b], b < going);
    let own = (first + b) * params.capacity + params.step + 1;
    if (b >= going) { tokens[own] = tokens[own - 1]; }
    chains[own] = first + b;
  }
  let hopeless = full && next_sums[0] / params.reach <= scores[WIDTH - 1];
  if (hopeless || (full && params.stops == 1) || params.last == 1) { ended[state] = 1; }
  if (no_number) { ended[state] = NO_NUMBER; }
}
