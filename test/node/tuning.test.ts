import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { MatmulTuning } from "../../src/kernels/matmul/matmul_config.ts";
import { createEngine } from "../../src/node/index.ts";
import {
  claimTuning,
  readAvoided,
  readTuning,
  removeTuning,
  storeAvoided,
  storeTuning,
  tuningFile,
} from "../../src/node/tuning.ts";
import { type TuningResult, tuningKey } from "../../src/runtime/ops/tune.ts";

const adapter = { name: "Card", vendor: "v", architecture: "a", description: "driver 1", software: false };
const split: MatmulTuning = { "m<=8 nk<=2^20 f32": { kind: "split_k", split: 8 } };
const register: MatmulTuning = { "m<=128 nk<=2^20 f32": { kind: "register" } };

/** What `tuneMatmul` gives when it has measured these classes, as far as storing looks at it. */
function found(tuning: MatmulTuning, ...names: string[]): TuningResult {
  const shape = { m: 1, n: 4, k: 4, dtype: "f32", bias: false, residual: false, activation: "none" } as const;
  const classes = names.map((name) => ({ name, shape, candidates: [], chosen: undefined, clock: "wall" as const }));
  return { tuning, classes, complete: true, ms: 1 };
}

describe("the stored tuning", () => {
  let folder: string;
  let file: string;
  let warnings: string[];
  const read = (of = adapter) => readTuning(of, (message) => warnings.push(message), file);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "bert-webgpu-"));
    file = join(folder, "deeper", "tuning.json");
    warnings = [];
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });

  test("comes back as it was stored, for this adapter and driver only", async () => {
    expect(await read()).toBeUndefined();
    expect(await storeTuning(adapter, found(split, ...Object.keys(split)), file)).toEqual(split);
    const other = { ...adapter, description: "driver 2" };
    expect(await read(other)).toBeUndefined();
    await storeTuning(other, found(register, ...Object.keys(register)), file);
    expect(await read()).toEqual(split);
    expect(await read(other)).toEqual(register);
    expect(await readdir(dirname(file))).toEqual(["tuning.json"]);
    expect(warnings).toEqual([]);
  });

  test("lies beside the list of kernels to avoid, which outlives it", async () => {
    const avoided = (of = adapter) => readAvoided(of, (message) => warnings.push(message), file);
    expect(await storeAvoided(adapter, { wrong: [], right: ["layernorm f32"] }, file)).toEqual([]);
    expect(await avoided()).toEqual([]);
    await storeTuning(adapter, found(split, ...Object.keys(split)), file);
    await storeAvoided(adapter, { wrong: ["softmax f16", "matmul f16"], right: [] }, file);
    expect(await avoided()).toEqual(["matmul f16", "softmax f16"]);
    expect(await avoided({ ...adapter, description: "driver 2" })).toEqual([]);
    expect(await read()).toEqual(split);
    await storeAvoided(adapter, { wrong: ["pool f32"], right: ["matmul f16"] }, file);
    expect(await avoided()).toEqual(["pool f32", "softmax f16"]);
    expect(await removeTuning(file)).toBe(true);
    expect(await read()).toBeUndefined();
    expect(await avoided()).toEqual(["pool f32", "softmax f16"]);
    expect(await removeTuning(file)).toBe(false);
    await writeFile(file, JSON.stringify({ [`avoided | ${tuningKey(adapter)}`]: { pool: 1 } }));
    expect(await avoided()).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining("its list of kernels to avoid is ignored")]);
  });

  test("keeps classes that were not measured again, and gives up those whose built-in choice won", async () => {
    await storeTuning(adapter, found(split, ...Object.keys(split)), file);
    const both = { ...split, ...register };
    expect(await storeTuning(adapter, found(register, ...Object.keys(register)), file)).toEqual(both);
    expect(await read()).toEqual(both);
    expect(await storeTuning(adapter, found({}, ...Object.keys(split)), file)).toEqual(register);
    expect(await removeTuning(file)).toBe(true);
    expect(await removeTuning(file)).toBe(false);
    expect(await read()).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  test.each([
    ["", "JSON"],
    ["{", "JSON"],
    ["[]", "it holds no JSON object"],
    ["\u001b]0;owned\u0007", "\\x1b]0;owned\\x07"],
    [JSON.stringify({ [tuningKey(adapter)]: [] }), "a tuning is [], it must be an object"],
    [
      JSON.stringify({ [tuningKey(adapter)]: { c: { kind: "split_k", split: 7 } } }),
      '"c": split is 7, it must divide 64',
    ],
  ])("is ignored, with a warning, when it is %j", async (text, reason) => {
    await mkdir(dirname(file));
    await writeFile(file, text);
    expect(await read()).toBeUndefined();
    expect(warnings).toHaveLength(1);
    for (const part of [file, "the built-in choice is used", reason, "run bert-webgpu tune --reset"]) {
      expect(warnings[0]).toContain(part);
    }
    await storeTuning(adapter, found(split, ...Object.keys(split)), file); // and is written over
    expect(await read()).toEqual(split);
    expect(warnings).toHaveLength(1);
  });

  test.skipIf(process.platform === "win32")("follows no planted link, and waits for no pipe", async () => {
    await mkdir(dirname(file));
    const victim = join(folder, "victim");
    await writeFile(victim, "precious");
    for (const name of [".unfinished.tmp", ".lock.tmp"]) await symlink(victim, file + name);
    await storeTuning(adapter, found(split, ...Object.keys(split)), file);
    expect(await readFile(victim, "utf8")).toBe("precious");
    expect(await read()).toEqual(split);
    await rm(file);
    execFileSync("mkfifo", [file]);
    expect(await read()).toBeUndefined();
    expect(warnings).toEqual([expect.stringContaining("it is not a regular file")]);
    await expect(storeTuning(adapter, found(split), file)).rejects.toThrow(`${file}: it is a FIFO`);
    await rm(file);
    await writeFile(file, " ".repeat(2 ** 20 + 1));
    expect(await read()).toBeUndefined();
    expect(warnings[1]).toContain("it has 1048577 bytes, at most 1048576 are read");
  });

  test("is one job's own while it is written, and no entry is lost", async () => {
    const claim = await claimTuning(file);
    await expect(storeTuning(adapter, found(split), file)).rejects.toThrow("is writing it");
    await storeTuning(adapter, found(split, ...Object.keys(split)), claim);
    await storeTuning({ ...adapter, description: "driver 2" }, found(register, ...Object.keys(register)), file);
    expect(await read()).toEqual(split);
    expect(await readdir(dirname(file))).toEqual(["tuning.json"]);
  });

  test("lies beside the cache of the hub", () => {
    const beside = join(folder, "bert-webgpu", "tuning.json");
    expect(tuningFile({ HF_HOME: folder })).toBe(beside);
    expect(tuningFile({ HF_HUB_CACHE: join(folder, "models") })).toBe(beside);
    expect(tuningFile({})).toMatch(/\.cache.huggingface.bert-webgpu.tuning\.json$/);
  });

  test("is what createEngine uses, unless told otherwise", async () => {
    vi.stubEnv("HF_HUB_CACHE", join(folder, "hub"));
    const choice = process.env.BERT_WEBGPU_ADAPTER || "auto";
    const use = async (options: { tuning?: MatmulTuning | false; avoid?: readonly string[] | false }) => {
      const engine = await createEngine({ adapter: choice, ...options });
      const { tuning, adapter, avoid } = engine;
      engine.dispose();
      return { tuning, adapter, avoided: avoid?.avoided };
    };
    const before = await use({});
    expect(before).toMatchObject({ tuning: undefined, avoided: undefined });
    await storeAvoided(before.adapter, { wrong: ["pool f32"], right: [] });
    expect((await use({})).avoided).toEqual(["pool f32"]);
    expect((await use({ avoid: ["top_k f32"] })).avoided).toEqual(["top_k f32"]);
    expect((await use({ avoid: false })).avoided).toBeUndefined();
    await storeTuning(before.adapter, found(split, ...Object.keys(split)));
    expect((await use({})).tuning).toEqual(split);
    expect((await use({ tuning: register })).tuning).toEqual(register);
    expect((await use({ tuning: false })).tuning).toBeUndefined();
    const text = await readFile(tuningFile(), "utf8");
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    await writeFile(tuningFile(), text.slice(1));
    expect((await use({})).tuning).toBeUndefined();
    expect(warned.mock.calls.map(([message]) => message)).toEqual([expect.stringContaining("this tuning is ignored")]);
    warned.mockRestore();
  });
});
