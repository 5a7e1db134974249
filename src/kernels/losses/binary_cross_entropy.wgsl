// Binary cross entropy of logits, each label by itself, and its gradient, which takes the logits' place.
//   logits      [count]  replaced by (sigmoid(logit) - label) * scale * loss_scale
//   labels      [count]  f32, 0 to 1; NO_NUMBER: neither loss nor gradient
//   state       State of the optimizer, whose loss_scale multiplies all gradients
//   losses      [count]  (max(x, 0) - x * label + log(1 + exp(-|x|))) * scale
// One thread owns an element. Computes in f32.
// #import "losses/elements.wgsl"
// #import "optimizer/state.wgsl"

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  if (i >= params.count) { return; }
  if (labels[i] >= NO_NUMBER) {
    losses[i] = 0.0;
    logits[i] = Scalar(0.0);
    return;
  }
  let x = f32(logits[i]);
  let tail = exp(-abs(x));
  losses[i] = (max(x, 0.0) - x * labels[i] + log(1.0 + tail)) * params.scale;
  let sigmoid = select(tail, 1.0, x > 0.0) / (1.0 + tail);
  logits[i] = Scalar((sigmoid - labels[i]) * params.scale * state.loss_scale);
}
