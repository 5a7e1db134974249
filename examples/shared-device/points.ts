/** Draws the points out of the buffer that the projection left on the GPU. */

import source from "./points.wgsl";
import type { View } from "./view.ts";

/** CSS pixels. */
const RADIUS = 3.5;
const NONE = 0xffffffff;

export interface Points {
  /** @param colours [points] of bytes red, green, blue, alpha */
  colour(colours: Uint32Array<ArrayBuffer>): void;
  /** @param chosen a point to be shown larger */
  draw(view: View, chosen: number | undefined): void;
}

/** @param positions f32 [count, 2], STORAGE */
export function createPoints(
  device: GPUDevice,
  canvas: HTMLCanvasElement,
  positions: GPUBuffer,
  count: number,
): Points {
  const { STORAGE, UNIFORM, COPY_DST } = GPUBufferUsage;
  const format = navigator.gpu.getPreferredCanvasFormat();
  const context = canvas.getContext("webgpu")!;
  context.configure({ device, format, alphaMode: "premultiplied" }); // the page's background shines through
  const uniforms = device.createBuffer({ label: "view", size: 32, usage: UNIFORM | COPY_DST });
  const colours = device.createBuffer({ label: "colours", size: 4 * count, usage: STORAGE | COPY_DST });
  const module = device.createShaderModule({ label: "points", code: source });
  const over: GPUBlendComponent = { srcFactor: "one", dstFactor: "one-minus-src-alpha" };
  const pipeline = device.createRenderPipeline({
    label: "points",
    layout: "auto",
    vertex: { module },
    fragment: { module, targets: [{ format, blend: { color: over, alpha: over } }] },
    primitive: { topology: "triangle-strip" },
  });
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [uniforms, positions, colours].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  return {
    colour(values) {
      device.queue.writeBuffer(colours, 0, values);
    },
    draw({ scale, centre, width, height }, chosen = NONE) {
      const [x, y] = [2 / width, 2 / height]; // a CSS pixel in clip space
      const transform = [x * scale, y * scale, -centre[0] * x * scale, -centre[1] * y * scale, x * RADIUS, y * RADIUS];
      device.queue.writeBuffer(uniforms, 0, Float32Array.from(transform));
      device.queue.writeBuffer(uniforms, 24, Uint32Array.of(chosen));
      const encoder = device.createCommandEncoder({ label: "points" });
      const pass = encoder.beginRenderPass({
        colorAttachments: [{ view: context.getCurrentTexture().createView(), loadOp: "clear", storeOp: "store" }],
      });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.draw(4, count);
      if (chosen !== NONE) pass.draw(4, 1, 0, chosen); // again, above the others
      pass.end();
      device.queue.submit([encoder.finish()]);
    },
  };
}
