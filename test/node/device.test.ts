import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NoAdapterError, requestDevice } from "../../src/node/device.ts";
import { testDevice } from "../device.ts";
import { runProgram } from "./child.ts";

const bundles = process.platform === "linux" && process.arch === "x64";
const needsBundle = "(the bundled SwiftShader is for Linux on x64)";

describe("requestDevice", () => {
  test("grants what the adapter has, and names it", async () => {
    const { device, adapter, idle } = await testDevice();
    expect(adapter.name).not.toBe("");
    expect(device.limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(128 << 20);
    expect(idle === undefined).toBe(!adapter.software);
    expect(device.features.has("shader-f16")).toBe(!/swiftshader/i.test(adapter.architecture));
  });

  test("an adapter is named by any part of its words, in any case", async () => {
    const { adapter } = await testDevice();
    const again = await requestDevice({ adapter: adapter.description.slice(1, 8).toUpperCase() });
    expect(again.adapter).toEqual(adapter);
    again.close();
  });

  test("close destroys the device, once", async () => {
    const { device, close } = await requestDevice({ adapter: process.env.BERT_WEBGPU_ADAPTER || "auto" });
    close();
    close();
    expect((await device.lost).reason).toBe("destroyed");
  });

  test.skipIf(!bundles)(`swiftshader is there whatever the system has ${needsBundle}`, async () => {
    const { adapter, close } = await requestDevice({ adapter: "SwiftShader" });
    expect(adapter).toMatchObject({ vendor: "google", architecture: "swiftshader", software: true });
    close();
  });

  test("no such adapter: what was tried, what is there, what to install", async () => {
    const failure = await requestDevice({ adapter: "voodoo2" }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(NoAdapterError);
    const { message, tried } = failure as NoAdapterError;
    expect(tried).toHaveLength(1);
    expect(message).toContain('no GPU adapter for "voodoo2"');
    expect(message).toMatch(/\nInstall |\nmacOS /);
  });

  test("the null backend is chosen only by name", async () => {
    const { adapter, close } = await requestDevice({ adapter: "null" });
    expect(adapter.name).toBe("null-backend");
    close();
    await expect(requestDevice({ adapter: "null-backend" })).rejects.toThrow(NoAdapterError);
  });

  test("toggles reach Dawn: subgroup matrices are offered only with unsafe APIs", async () => {
    const features = ["chromium-experimental-subgroup-matrix"];
    const granted = await requestDevice({ adapter: "null", features, toggles: ["allow_unsafe_apis"] });
    expect(granted.device.features.has(features[0]!)).toBe(true);
    granted.close();
    await expect(requestDevice({ adapter: "null", features })).rejects.toThrow(
      "feature chromium-experimental-subgroup-matrix asked, the adapter has",
    );
  });
});

describe.skipIf(!bundles)(`a system without Vulkan ${needsBundle}`, () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "no-vulkan-"));
    await writeFile(join(folder, "libvulkan.so.1"), ""); // found before the system's, and no library
  });
  afterAll(() => rm(folder, { recursive: true }));

  const openTwice = `
    import { requestDevice } from "./src/node/device.ts";
    for (const adapter of ["auto", "auto"]) console.log((await requestDevice({ adapter })).adapter.architecture);`;

  test("no loader: SwiftShader and the loader beside it are used, quietly", async () => {
    const { code, stdout, stderr } = await runProgram(openTwice, { LD_LIBRARY_PATH: folder });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "swiftshader\nswiftshader\n", stderr: "" });
  });

  test("no driver: SwiftShader is used, and the user's own choice of drivers stands", async () => {
    const mine = join(folder, "mine.json");
    const { code, stdout } = await runProgram(
      `import { requestDevice } from "./src/node/device.ts";
      const { adapter } = await requestDevice();
      console.log(adapter.architecture, process.env.VK_DRIVER_FILES === ${JSON.stringify(mine)}, process.env.VK_ICD_FILENAMES);`,
      { VK_DRIVER_FILES: mine },
    );
    // where the system has no loader either, it is the bundled one that heeds VK_DRIVER_FILES
    expect({ code, stdout }).toEqual({ code: 0, stdout: "swiftshader true undefined\n" });
  });

  test("nothing at all: the error names both places", async () => {
    const { stdout } = await runProgram(
      `import { requestDevice } from "./src/node/device.ts";
      await requestDevice({ adapter: "hardware" }).catch((error) => console.log(error.message));`,
      { LD_LIBRARY_PATH: folder },
    );
    expect(stdout).toContain("tried the system's adapters: no Vulkan loader (libvulkan.so.1)");
    expect(stdout).toContain("mesa-vulkan-drivers");
    expect(stdout).toContain("npm install @sparticuz/chromium");
  });
});

describe("lifetime", () => {
  const prelude = `
    import { requestDevice } from "./src/node/device.ts";
    const adapter = process.env.BERT_WEBGPU_ADAPTER || "auto";
    const MAP_READ = 1, COPY_DST = 8;
    const collect = async () => { for (let i = 0; i < 20; i++) { gc(); await new Promise((done) => setTimeout(done, 2)); } };
    const readBack = async (buffer) => { await buffer.mapAsync(MAP_READ); buffer.unmap(); };`;

  test("a buffer outlives the reference to its device", async () => {
    const { code, stdout } = await runProgram(`${prelude}
      const make = async () => (await requestDevice({ adapter })).device.createBuffer({ size: 256, usage: MAP_READ | COPY_DST });
      const buffer = await make();
      await collect();
      await readBack(buffer);
      console.log("read");`);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "read\n" });
  });

  test("what is left of a closed device fails in good order", async () => {
    const { code, stdout } = await runProgram(`${prelude}
      const make = async () => {
        const { device, close } = await requestDevice({ adapter });
        const buffer = device.createBuffer({ size: 256, usage: MAP_READ | COPY_DST });
        const { queue } = device;
        close();
        return { buffer, queue };
      };
      const { buffer, queue } = await make();
      await collect();
      await readBack(buffer).catch((error) => console.log(error.name));
      await queue.onSubmittedWorkDone().catch(() => {});
      await collect();
      console.log("alive");`);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "AbortError\nalive\n" });
  });

  test("devices that are closed can be collected one by one", async () => {
    const { code, stdout } = await runProgram(`${prelude}
      for (let i = 0; i < 6; i++) {
        const { device, close } = await requestDevice({ adapter });
        await readBack(device.createBuffer({ size: 256, usage: MAP_READ | COPY_DST }));
        close();
        if (i % 2 === 0) await collect();
      }
      await collect();
      console.log("collected");`);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "collected\n" });
  });

  test.each(["close();", ""])(
    "an idle device costs next to nothing, and the process ends by itself: %j",
    async (end) => {
      const { code, stdout, lingered } = await runProgram(`${prelude}
      const { device, idle, close } = await requestDevice({ adapter });
      const over = idle?.();
      await readBack(device.createBuffer({ size: 256, usage: MAP_READ | COPY_DST }));
      over?.();
      ${end}
      const before = process.cpuUsage();
      await new Promise((done) => setTimeout(done, 2000));
      const { user, system } = process.cpuUsage(before);
      console.log((user + system) / 2e6);`);
      expect(code).toBe(0);
      expect(Number(stdout)).toBeLessThan(0.05); // cores
      expect(lingered).toBeLessThan(2000);
    },
  );
});

test("timestamps are exact when asked for", async ({ skip }) => {
  const choice = process.env.BERT_WEBGPU_ADAPTER || "auto";
  const { device, close } = await requestDevice({ adapter: choice, preciseTimestamps: true });
  if (!device.features.has("timestamp-query")) skip("the adapter has no timestamp-query");
  const count = 16;
  const querySet = device.createQuerySet({ type: "timestamp", count });
  const QUERY_RESOLVE = 0x200;
  const resolved = device.createBuffer({ size: 8 * count, usage: QUERY_RESOLVE | 4 }); // | COPY_SRC
  const mapped = device.createBuffer({ size: 8 * count, usage: 1 | 8 }); // MAP_READ | COPY_DST
  const encoder = device.createCommandEncoder();
  for (let i = 0; i < count; i += 2) {
    const timestampWrites = { querySet, beginningOfPassWriteIndex: i, endOfPassWriteIndex: i + 1 };
    encoder.beginComputePass({ timestampWrites }).end();
  }
  encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, mapped, 0, 8 * count);
  device.queue.submit([encoder.finish()]);
  await mapped.mapAsync(1);
  const times = new BigUint64Array(mapped.getMappedRange());
  expect(times.some((time) => time % 65536n !== 0n)).toBe(true);
  mapped.unmap();
  close();
});
