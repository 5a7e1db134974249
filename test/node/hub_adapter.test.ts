/** LoRA adapters of the hub: `resolveAdapter`, `loadAdapter` and `loadPretrained` in Node, and `--lora` of the built command line. */

import { execFile } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAdapter as loadFromFolder } from "../../src/bert/adapter.ts";
import {
  bundledModel,
  classifyText,
  Engine,
  loadAdapter,
  loadPretrained,
  resolveAdapter,
  scanHubCache,
} from "../../src/node/index.ts";
import { testDevice } from "../device.ts";
import { buildSafetensors } from "../files/build.ts";
import { random } from "../support.ts";
import { folderOf } from "../train/tiny.ts";
import { useHub, wholeFile } from "./hub_fixture.ts";
import { etagOf, type Files } from "./hub_server.ts";

const MAIN = join(import.meta.dirname, "../../dist/node/main.js");
const ADAPTER = ["--adapter", process.env.BERT_WEBGPU_ADAPTER || "auto"];
const TEXT = "a fine film";

/** One layer of the bundled model's, which is `width` wide, is adapted by noise of its own. */
function adapterFiles(seed: number, { width = 192, base = "acme/movie-bert" as string | null } = {}): Files {
  const next = random(seed);
  const noise = (rows: number, cols: number) => ({
    dtype: "F32",
    shape: [rows, cols],
    data: Float32Array.from({ length: rows * cols }, () => next() - 0.5),
  });
  const layer = "base_model.model.bert.encoder.layer.2.output.dense";
  const config = { peft_type: "LORA", task_type: "SEQ_CLS", r: 2, lora_alpha: 4, base_model_name_or_path: base };
  return {
    "README.md": "not needed",
    "adapter_config.json": JSON.stringify(config),
    "adapter_model.safetensors": buildSafetensors({
      [`${layer}.lora_A.weight`]: noise(2, 4 * width),
      [`${layer}.lora_B.weight`]: noise(width, 2),
    }),
    "optimizer.pt": "not needed",
    "tokenizer.json": "not needed: texts are cut as the base says",
  };
}
const NEEDED = ["adapter_config.json", "adapter_model.safetensors"];

const at = useHub();
const hub = (more: object = {}) => {
  const { cacheDir } = at;
  return { cacheDir, endpoint: at.hub.endpoint, token: "", offline: false, fetch: globalThis.fetch, ...more };
};

const fetched = (): string[] => [
  ...new Set(at.hub.seen.flatMap(({ method, file }) => (method === "GET" && file ? [file] : []))),
];

describe("resolveAdapter", () => {
  test("fetches the adapter's files alone, and is served by the cache", async () => {
    const files: Files = {
      ...adapterFiles(1),
      "config.json": "{}",
      "modules.json": '[{"path":"1_Pooling","type":"Pooling"}]',
    };
    const { name, commit } = at.fresh({ ...files, "1_Pooling/config.json": '{"pooling_mode_cls_token":true}' });
    const folder = await resolveAdapter(name, hub());
    expect(folder.name).toBe(name);
    expect(fetched().sort()).toEqual(["1_Pooling/config.json", "config.json", "modules.json", ...NEEDED].sort());
    at.hub.seen.length = 0;
    for (const spec of [name, `${name}@${commit}`, `hf://${name}`]) {
      const again = await resolveAdapter(spec, hub({ offline: true, verify: true }));
      expect(await wholeFile(again, "adapter_config.json")).toEqual(
        new TextEncoder().encode(String(files["adapter_config.json"])),
      );
    }
    expect(at.hub.seen).toEqual([]);
    expect(await scanHubCache(at.cacheDir)).toMatchObject([
      { name, revisions: [{ commit, adapter: true, missing: [] }] },
    ]);
  });

  test("takes adapter_model.bin where there is no safetensors, and a folder", async () => {
    const { "adapter_model.safetensors": weights, ...rest } = adapterFiles(1);
    const { name } = at.fresh({ ...rest, "adapter_model.bin": weights! });
    const folder = await resolveAdapter(name, hub());
    expect(await wholeFile(folder, "adapter_model.bin")).toEqual(weights);
    const path = join(at.cacheDir, "none");
    await expect(resolveAdapter(path, hub())).rejects.toThrow(/none: there is no such file or folder/);
    expect((await resolveAdapter(at.cacheDir)).name).toBe(at.cacheDir);
  });

  test("says what is missing, and what a model is", async () => {
    const { name } = at.fresh({ "config.json": "{}", "model.safetensors": "" });
    await expect(resolveAdapter(name, hub())).rejects.toThrow(
      `${name}: there is no adapter_config.json (404): is it an adapter of PEFT?`,
    );
    const { "adapter_model.safetensors": _, ...rest } = adapterFiles(1);
    const half = at.fresh({ ...rest, "adapter_model.h5": "" });
    await expect(resolveAdapter(half.name, hub())).rejects.toThrow(
      `${half.name}@${half.commit}: the repository has no adapter_model.safetensors; its weights are adapter_model.h5: is it an adapter of PEFT?`,
    );
    const whole = at.fresh(adapterFiles(1)).name;
    await expect(resolveAdapter(whole, hub({ offline: true }))).rejects.toThrow(/^offline \(HF_HUB_OFFLINE\)/);
    await expect(resolveAdapter(`${whole}@v9`, hub())).rejects.toThrow(/no revision "v9" \(404\)/);
    await expect(resolveAdapter("adapter", hub())).rejects.toThrow(
      "adapter: there is no such folder; adapters of the hub are named org/name",
    );
    await expect(resolveAdapter(whole, hub({ weights: false }))).rejects.toThrow(/no option "weights"/);
  });
});

describe("over a model", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
  });
  afterAll(() => engine.dispose());

  test("loadAdapter and loadPretrained take it by its name and revision", async () => {
    const [first, second] = [adapterFiles(1), adapterFiles(2)];
    const { name, commit } = at.fresh(first);
    at.hub.commit(name, second);
    const base = await loadPretrained(engine, bundledModel());
    const expected: unknown[] = [];
    for (const files of [first, second]) {
      const own = await loadFromFolder(base, folderOf(files as Record<string, string | Uint8Array>));
      expected.push(await classifyText(own, [TEXT]));
      own.model.dispose();
    }
    expect(expected[0]).not.toEqual(expected[1]);
    const { bytes } = engine.memoryUse;
    for (const [spec, options, answer] of [
      [name, {}, expected[1]],
      [`${name}@${commit}`, {}, expected[0]],
      [name, { revision: commit }, expected[0]],
    ] as const) {
      const own = await loadAdapter(base, spec, { hub: hub(options) });
      expect(await classifyText(own, [TEXT])).toEqual(answer);
      own.model.dispose();
    }
    const own = await loadPretrained(engine, bundledModel(), {
      lora: `${name}@${commit}`,
      hub: hub({ offline: true }),
    });
    expect(await classifyText(own, [TEXT])).toEqual(expected[0]);
    own.model.dispose();
    expect(engine.memoryUse.bytes).toBe(bytes);
    base.model.dispose();
  });

  test("a base of another shape is named, before and after it is loaded; of another name it is warned", async () => {
    const { name } = at.fresh(adapterFiles(1, { width: 64, base: "acme/bert-wide" }));
    await expect(loadPretrained(engine, bundledModel(), { lora: name, hub: hub() })).rejects.toThrow(
      /adapted from 256 to 64, the base has another shape: is it of another base\?\n- it was trained over "acme\/bert-wide"/,
    );
    const names = (await readdir(bundledModel())).filter((file) => file !== "golden.json" && file !== "README.md");
    const files = await Promise.all(names.map(async (file) => [file, await readFile(join(bundledModel(), file))]));
    const model = at.fresh(Object.fromEntries(files)).name;
    for (const [base, warnings] of [
      ["acme/other", 1],
      [`elsewhere/${model.split("/")[1]!}`, 0], // as it was called before it moved
      ["/home/ada/model", 0],
      [null, 0],
    ] as const) {
      const told: string[] = [];
      const lora = at.fresh(adapterFiles(1, { base })).name;
      const onWarning = (message: string) => void told.push(message);
      const own = await loadPretrained(engine, model, { lora, hub: hub(), onWarning });
      own.model.dispose();
      const why = `${lora}: it was trained over ${base}, the model is ${model}`;
      expect(told).toEqual(warnings ? [why] : []);
    }
  });
});

describe("--lora", () => {
  const run = async (args: readonly string[], env = {}) => {
    const hubEnv = { HF_ENDPOINT: at.hub.endpoint, HF_HUB_CACHE: at.cacheDir, HF_HUB_OFFLINE: "", HF_TOKEN: "" };
    const options = { cwd: tmpdir(), env: { ...process.env, ...hubEnv, ...env } };
    return promisify(execFile)(process.execPath, [MAIN, ...args], options).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
    );
  };

  test("takes org/name, offline too, and --verify hashes it", async () => {
    const files = adapterFiles(1, { base: null });
    const { name, commit } = at.fresh(files);
    const line = ["classify", TEXT, "--json", "--lora", name, ...ADAPTER];
    const plain = await run(["classify", TEXT, "--json", ...ADAPTER]);
    const first = await run(line);
    expect([first.code, fetched().sort()]).toEqual([0, NEEDED]);
    expect(first.stdout).not.toBe(plain.stdout);
    expect((await run(line, { HF_HUB_OFFLINE: "1" })).stdout).toBe(first.stdout);
    expect((await run(["models"])).stdout).toMatch(
      new RegExp(`^${name}  main ${commit.slice(0, 7)} .* MB  adapter *\n$`),
    );
    const out = join(at.cacheDir, "merged.safetensors");
    expect((await run(["convert", bundledModel(), out, "--merge-lora", name])).code).toBe(0);

    const etag = etagOf("adapter_config.json", Buffer.from(files["adapter_config.json"] as string));
    const blob = join(at.repoDir(name), "blobs", etag);
    await writeFile(blob, Buffer.from(await readFile(blob)).fill(32, 1, 2));
    for (const args of [line, ["convert", bundledModel(), out, "--merge-lora", name, "--force"]]) {
      const { code, stderr } = await run([...args, "--verify"]);
      expect([code, stderr]).toEqual([2, expect.stringMatching(/^error: .*: its sha1 is .*, not .*: remove it/m)]);
    }
  });

  test("is refused in one line, before a GPU is looked for", async () => {
    const { name } = at.fresh({ "config.json": "{}" });
    for (const [lora, why] of [
      [name, /^error: .*: there is no adapter_config\.json \(404\): is it an adapter of PEFT\?\n$/],
      ["acme/none", /^error: acme\/none: there is no such public model \(401\)[^\n]*\n$/],
      ["none", /^error: none: there is no such folder; adapters of the hub are named org\/name\n$/],
    ] as const) {
      const { code, stderr } = await run(["classify", "x", "--lora", lora, "--adapter", "none"]);
      expect([code, stderr]).toEqual([2, expect.stringMatching(why)]);
    }
  });
});
