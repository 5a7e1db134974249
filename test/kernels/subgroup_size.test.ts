/** That the subgroups of a kernel which asks for a size have it, on the adapter at hand. */
import { expect, test } from "vitest";
import { specialize } from "../../src/kernels/kernel.ts";
import { infoOf } from "../../src/runtime/device.ts";
import { testDevice } from "../device.ts";
import { compile, runKernel } from "./harness.ts";

const { device } = await testDevice();
const { subgroupMinSize: least = 0, subgroupMaxSize: most = 0 } = infoOf(device);
const without = device.features.has("subgroup-size-control")
  ? ""
  : " (skipped: the adapter has no subgroup-size-control)";

const source = `enable subgroups;
struct Params { rows: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;
@compute @workgroup_size(128)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(subgroup_size) size: u32) {
  if (thread < params.rows) { out[thread] = size; }
}`;

test.skipIf(without !== "")(`subgroups are of the size that was asked for${without}`, async () => {
  for (let size = least; size <= most; size *= 2) {
    const plan = {
      constants: { "@subgroup_size": size },
      params: { rows: 128 },
      workgroups: [1, 1, 1],
      label: "",
    } as const;
    const kernel = { name: "size", source, plan: () => plan };
    const { out } = await runKernel(device, kernel, { dtype: "f32" }, {}, { out: 128 });
    expect([...out!]).toEqual(new Array(128).fill(size));
  }
});

test.skipIf(without !== "")(`other sizes are refused${without}`, async () => {
  const other = specialize(source, { "@subgroup_size": 2 * most });
  await expect(compile(device, "size", other)).rejects.toThrow(/subgroup_size/);
});
