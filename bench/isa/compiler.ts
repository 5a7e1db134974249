/**
 * The process that compiles for a GPU that is not there. It reads shaders from a file, and RADV prints what it makes of
 * each on stderr, between marks; without a file it tells what the GPU is. In a process of its own: a family is chosen once for all.
 */

import { readFileSync, writeSync } from "node:fs";
import { requestDevice } from "../../src/node/device.ts";
import { traitsOf } from "../../src/runtime/device.ts";
import { FAULT, MARK, type Shaders } from "./marks.ts";

const [file] = process.argv.slice(2);
const { device, adapter } = await requestDevice({ adapter: "radv", toggles: ["allow_unsafe_apis"] });
if (file === undefined) {
  const { limits, ...traits } = traitsOf(device, adapter);
  const { maxComputeWorkgroupsPerDimension, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize } =
    limits;
  const own = { maxComputeWorkgroupsPerDimension, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize };
  console.log(JSON.stringify({ traits: { ...traits, limits: own }, adapter }));
} else {
  for (const [i, code] of (JSON.parse(readFileSync(file, "utf8")) as Shaders).entries()) {
    writeSync(2, `\n${MARK}${i}\n`);
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code });
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    const error = await device.popErrorScope();
    if (error) writeSync(2, `\n${FAULT}${error.message.split("\n", 1)[0]}\n`);
  }
}
process.exit(0);
