// What an optimizer knows beside its moments: one struct in a buffer of 64 bytes, which only the GPU writes.

struct State {
  steps: u32, // taken, so that the first one has 0
  skipped: u32, // for a gradient that was not finite
  good: u32, // steps since the loss scale was changed or a step skipped
  finite: u32, // whether the last gradient was
  loss_scale: f32, // that the gradients are multiplied by
  norm: f32, // of the last gradient, before it was clipped
  factor: f32, // for the gradient: it clips, and takes the loss scale away
  learning_rate: f32, // of the last step
  correction1: f32, // 1 - beta1^t
  correction2: f32, // 1 - beta2^t
  loss: f32, // of the last step
  unused: u32,
}
