// Squared error of outputs and its gradient, which takes the outputs' place: the loss of a regression.
//   logits      [count]  the outputs, replaced by 2 (output - label) * scale * loss_scale
//   labels      [count]  f32; NO_NUMBER: neither loss nor gradient
//   state       State of the optimizer, whose loss_scale multiplies all gradients
//   losses      [count]  (output - label)^2 * scale
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
  let apart = f32(logits[i]) - labels[i];
  losses[i] = apart * apart * params.scale;
  logits[i] = Scalar(2.0 * apart * params.scale * state.loss_scale);
}
