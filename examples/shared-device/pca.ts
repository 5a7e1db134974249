/** Principal components on the GPU: vectors in one buffer become points of the plane in another. */

import source from "./pca.wgsl";

/** In each the error shrinks by the ratio of neighbouring variances: where that is 0.9, to 3e-5 in all. */
const ITERATIONS = 100;

/**
 * Submits the work and does not wait for it.
 * @param vectors f32 [n, d], STORAGE; their mean is subtracted in place
 * @returns f32 [n, 2], STORAGE | COPY_SRC, the axis of the greatest variance first
 */
export function projectToPlane(device: GPUDevice, vectors: GPUBuffer, n: number, d: number): GPUBuffer {
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const axes = device.createBuffer({ label: "axes", size: 8 * d, usage: STORAGE | COPY_DST });
  const positions = device.createBuffer({ label: "positions", size: 8 * n, usage: STORAGE | COPY_SRC });
  // any start will do that is not at right angles to an axis: waves are not
  device.queue.writeBuffer(
    axes,
    0,
    Float32Array.from({ length: 2 * d }, (_, i) => Math.cos(i * i)),
  );

  const layout = device.createBindGroupLayout({
    entries: [0, 1, 2].map((binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: "storage" as const },
    })),
  });
  const module = device.createShaderModule({ label: "pca", code: source });
  const pipelineLayout = device.createPipelineLayout({ bindGroupLayouts: [layout] });

  const encoder = device.createCommandEncoder({ label: "pca" });
  const pass = encoder.beginComputePass();
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout,
      entries: [vectors, axes, positions].map((buffer, binding) => ({ binding, resource: { buffer } })),
    }),
  );
  const kernel = (entryPoint: string, workgroups: number): (() => void) => {
    const pipeline = device.createComputePipeline({ layout: pipelineLayout, compute: { module, entryPoint } });
    return () => {
      pass.setPipeline(pipeline);
      pass.dispatchWorkgroups(workgroups);
    };
  };
  const centre = kernel("centre", d);
  const project = kernel("project", Math.ceil(n / 64));
  const gather = kernel("gather", d);
  const orthonormalise = kernel("orthonormalise", 1);
  centre();
  orthonormalise();
  for (let i = 0; i < ITERATIONS; i++) {
    project();
    gather();
    orthonormalise();
  }
  project();
  pass.end();
  device.queue.submit([encoder.finish()]);
  axes.destroy();
  return positions;
}
