// The two principal components of n vectors of d dimensions, by power iteration and without a covariance matrix:
// multiplying by it is `project` and then `gather`. Both axes are iterated at once, as one array of vec2f.

@group(0) @binding(0) var<storage, read_write> vectors: array<f32>; // [n, d]
@group(0) @binding(1) var<storage, read_write> axes: array<vec2f>; // [d]
@group(0) @binding(2) var<storage, read_write> positions: array<vec2f>; // [n]

const THREADS = 64u;

var<workgroup> parts: array<vec2f, THREADS>;

// The sum of what all threads of the workgroup bring.
fn total(part: vec2f, thread: u32) -> vec2f {
  workgroupBarrier(); // an earlier sum may still be read
  parts[thread] = part;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      parts[thread] += parts[thread + half];
    }
  }
  workgroupBarrier();
  return parts[0];
}

// A workgroup for each dimension: subtracts its mean.
@compute @workgroup_size(THREADS)
fn centre(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n = arrayLength(&positions);
  let d = arrayLength(&axes);
  var sum = 0.0;
  for (var row = thread; row < n; row += THREADS) {
    sum += vectors[row * d + group.x];
  }
  let mean = total(vec2f(sum, 0.0), thread).x / f32(n);
  for (var row = thread; row < n; row += THREADS) {
    vectors[row * d + group.x] -= mean;
  }
}

// A thread for each vector: where it lies on both axes.
@compute @workgroup_size(THREADS)
fn project(@builtin(global_invocation_id) id: vec3u) {
  let d = arrayLength(&axes);
  if (id.x >= arrayLength(&positions)) {
    return;
  }
  var position = vec2f();
  for (var i = 0u; i < d; i++) {
    position += vectors[id.x * d + i] * axes[i];
  }
  positions[id.x] = position;
}

// A workgroup for each dimension: the vectors, summed by their positions.
@compute @workgroup_size(THREADS)
fn gather(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n = arrayLength(&positions);
  let d = arrayLength(&axes);
  var sum = vec2f();
  for (var row = thread; row < n; row += THREADS) {
    sum += vectors[row * d + group.x] * positions[row];
  }
  let axis = total(sum, thread);
  if (thread == 0u) {
    axes[group.x] = axis;
  }
}

// One workgroup: both axes to length 1, and the second at right angles to the first, whose pull it would follow.
@compute @workgroup_size(THREADS)
fn orthonormalise(@builtin(local_invocation_index) thread: u32) {
  let d = arrayLength(&axes);
  var sums = vec2f(); // first times first, first times second
  for (var i = thread; i < d; i += THREADS) {
    sums += axes[i].x * axes[i];
  }
  sums = total(sums, thread);
  var square = 0.0; // of what the second has beside the first
  for (var i = thread; i < d; i += THREADS) {
    axes[i].y -= axes[i].x * sums.y / sums.x;
    square += axes[i].y * axes[i].y;
  }
  let lengths = sqrt(vec2f(sums.x, total(vec2f(square, 0.0), thread).x));
  for (var i = thread; i < d; i += THREADS) {
    axes[i] /= lengths;
  }
}
