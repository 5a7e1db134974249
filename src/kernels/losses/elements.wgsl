// What losses of single numbers share: what they are bound to, and how they are asked.

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const NO_NUMBER = 0x1p127;

struct Params {
  count: u32,
  scale: f32, // 1 / the number of labels
}

@group(0) @binding(0) var<storage, read_write> logits: array<Scalar>;
@group(0) @binding(1) var<storage, read> labels: array<f32>;
@group(0) @binding(2) var<storage, read> state: State;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
