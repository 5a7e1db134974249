/**
 * All kernels and the published bundle on wgpu, the implementation of WebGPU in Firefox and in Deno; the tests run on
 * Dawn. `npm run wgpu` bundles this file and runs it in Deno; `-- --all` checks every row in both dtypes. There is a
 * worker for each dtype, since a shader compiles on one core.
 */

import process from "node:process";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { adapterSummary, deviceDescriptor } from "../../src/runtime/device.ts";
import { checkBundle } from "./bundle.ts";
import { checkKernels, type Extent } from "./kernels.ts";
import { add, inWords, type Tally, tally } from "./tally.ts";

async function openAdapter(): Promise<GPUAdapter> {
  const { gpu } = (globalThis as { readonly navigator?: { readonly gpu?: GPU } }).navigator ?? {};
  if (gpu === undefined) throw new Error("no WebGPU here: run this in Deno, see CONTRIBUTING.md");
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error("wgpu finds no adapter: install a Vulkan driver, such as Mesa's lavapipe");
  return adapter;
}

async function checkAll(extent: Extent): Promise<Tally> {
  const adapter = await openAdapter();
  const device = await adapter.requestDevice(deviceDescriptor(adapter));
  const all = await checkKernels(device, extent);
  add(all, await checkBundle(device, extent.dtype));
  device.destroy();
  return all;
}

/** What the worker counts. Rejects when it ends without. */
function inWorker(extent: Extent): Promise<Tally> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: extent });
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`the worker for ${extent.dtype} ended early, code ${code}`)));
  });
}

async function main(): Promise<void> {
  const { name, description } = adapterSummary((await openAdapter()).info);
  console.log(`adapter: ${description || name}`);
  const all = process.argv.includes("--all");
  const sum = tally();
  const workers = (["f32", "f16"] as const).map((dtype) => inWorker({ dtype, all }));
  for (const counts of await Promise.all(workers)) add(sum, counts);
  if (sum.passed === 0) console.error("nothing was run");
  console.log(inWords(sum));
  process.exit(sum.failed > 0 || sum.passed === 0 ? 1 : 0);
}

if (isMainThread) {
  await main().catch(({ message }: Error) => {
    console.error(message);
    process.exit(1);
  });
} else {
  parentPort!.postMessage(await checkAll(workerData as Extent));
}
