/** Models of the hub, by a server on this machine that behaves like it: what is fetched, how it lies, what is meant. */

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readText } from "../../src/files/bytes.ts";
import { CONFIG, FILES, NEEDED, noise, useHub, WEIGHTS, wholeFile } from "./hub_fixture.ts";
import { etagOf } from "./hub_server.ts";

const at = useHub();
const { fresh, resolve, repoDir, warnings } = at;

describe("a model of the hub", () => {
  test("comes with what is needed of it, in Python's layout", async () => {
    const { name, commit } = fresh();
    const folder = await resolve(name);
    expect(folder.name).toBe(name);
    expect(await readText(folder, "config.json")).toBe(CONFIG);
    expect(Buffer.compare((await wholeFile(folder, "model.safetensors"))!, WEIGHTS)).toBe(0);

    const dir = repoDir(name);
    expect((await readdir(dir)).sort()).toEqual([".no_exist", "blobs", "refs", "snapshots"]);
    expect(await readFile(join(dir, "refs/main"), "utf8")).toBe(commit);
    expect(await readdir(join(dir, "snapshots"))).toEqual([commit]);
    const snapshot = join(dir, "snapshots", commit);
    expect((await readdir(snapshot)).sort()).toEqual(NEEDED);
    const blobs = NEEDED.map((path) => etagOf(path, Buffer.from(FILES[path] as string)));
    expect((await readdir(join(dir, "blobs"))).sort()).toEqual([...blobs].sort());
    for (const [i, path] of NEEDED.entries()) {
      expect(await readlink(join(snapshot, path))).toBe(`../../blobs/${blobs[i]}`);
    }
    expect(existsSync(join(dir, ".no_exist", commit, "modules.json"))).toBe(true);
    expect(await readdir(join(at.cacheDir, ".locks", `models--${name.replace("/", "--")}`))).toEqual([]);
  });

  test("is asked for once: a branch needs one request afterwards, a commit none", async () => {
    const { name, commit } = fresh();
    await resolve(name);
    at.hub.seen.length = 0;
    await resolve(name);
    expect(at.hub.seen.map(({ method, path }) => `${method} ${path}`)).toEqual([
      `HEAD /${name}/resolve/main/config.json`,
    ]);
    at.hub.seen.length = 0;
    const folder = await resolve(`${name}@${commit}`);
    expect(folder.name).toBe(`${name}@${commit}`);
    expect(at.hub.seen).toEqual([]);
  });

  test("follows its branch, and shares with earlier commits what has not changed", async () => {
    const { name, commit } = fresh();
    await resolve(name);
    const next = at.hub.commit(name, { ...FILES, "config.json": `${CONFIG} ` });
    at.hub.seen.length = 0;
    expect(await readText(await resolve(name), "config.json")).toBe(`${CONFIG} `);
    expect(at.hub.bodies("config.json").length).toBe(1);
    expect(at.hub.bodies("model.safetensors")).toEqual([]);
    expect(await readFile(join(repoDir(name), "refs/main"), "utf8")).toBe(next);
    expect((await readdir(join(repoDir(name), "snapshots"))).sort()).toEqual([commit, next].sort());
  });

  test("can be had at any revision, also one with slashes", async () => {
    const { name } = fresh();
    const commit = at.hub.commit(name, { ...FILES, "config.json": "[]" }, "refs/pr/7");
    const folder = await resolve(name, { revision: "refs/pr/7" });
    expect(folder.name).toBe(`${name}@refs/pr/7`);
    expect(await readText(folder, "config.json")).toBe("[]");
    expect(await readFile(join(repoDir(name), "refs/refs/pr/7"), "utf8")).toBe(commit);
    await expect(resolve(`${name}@main`, { revision: "refs/pr/7" })).rejects.toThrow(/revision main, the options have/);
  });

  test("may be in shards, and in folders", async () => {
    const { "model.safetensors": _, ...rest } = FILES;
    const shards = { "model-1-of-2.safetensors": noise(5000, 3), "parts/model-2-of-2.safetensors": noise(4000, 4) };
    const map = { a: "model-1-of-2.safetensors", b: "parts/model-2-of-2.safetensors", c: "model-1-of-2.safetensors" };
    const { name, commit } = fresh({
      ...rest,
      ...shards,
      "model-3-of-2.safetensors": "not in the index",
      "model.safetensors.index.json": JSON.stringify({ weight_map: map }),
    });
    const folder = await resolve(name);
    for (const [path, bytes] of Object.entries(shards)) {
      expect(Buffer.compare((await wholeFile(folder, path))!, bytes)).toBe(0);
    }
    const snapshot = join(repoDir(name), "snapshots", commit);
    expect(await readlink(join(snapshot, "parts/model-2-of-2.safetensors"))).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\//);
    expect(at.hub.bodies("model-3-of-2.safetensors")).toEqual([]);
    expect(at.hub.bodies("pytorch_model.bin")).toEqual([]);
    at.hub.seen.length = 0;
    await resolve(name, { revision: commit });
    expect(at.hub.seen).toEqual([]);
  });

  test("of sentence-transformers comes with its modules", async () => {
    const modules = ["", "1_Pooling", "2_Dense", "3_Dense", "4_LayerNorm", "5_Normalize"].map((path) => ({
      path,
      type: `sentence_transformers.models.${path.replace(/^\d_/, "") || "Transformer"}`,
    }));
    const { name, commit } = fresh({
      ...FILES,
      "modules.json": JSON.stringify(modules),
      "1_Pooling/config.json": "{}",
      "1_Pooling/README.md": "not needed",
      "2_Dense/config.json": '{"in_features":2}',
      "2_Dense/model.safetensors": noise(100, 5),
      "2_Dense/pytorch_model.bin": "not needed",
      "3_Dense/config.json": '{"in_features":3}',
      "3_Dense/pytorch_model.bin": noise(100, 6),
      "4_LayerNorm/config.json": '{"dimension":3}',
      "4_LayerNorm/model.safetensors": noise(100, 7),
    });
    await resolve(name, { weights: false });
    const files = async (): Promise<string[]> =>
      (await readdir(join(repoDir(name), "snapshots", commit), { recursive: true, withFileTypes: true }))
        .filter((entry) => !entry.isDirectory())
        .map(({ parentPath, name }) => join(parentPath, name).split(`${commit}/`)[1]!)
        .sort();
    const small = [
      "modules.json",
      ...["1_Pooling", "2_Dense", "3_Dense", "4_LayerNorm"].map((at) => `${at}/config.json`),
    ];
    const others = NEEDED.filter((path) => path !== "model.safetensors");
    expect(await files()).toEqual([...small, ...others].sort());
    await resolve(name);
    const weights = ["2_Dense/model.safetensors", "3_Dense/pytorch_model.bin", "4_LayerNorm/model.safetensors"];
    expect(await files()).toEqual([...small, ...weights, ...NEEDED].sort());
    at.hub.seen.length = 0;
    await resolve(name, { revision: commit });
    expect(at.hub.seen).toEqual([]);
  });

  test("without safetensors comes as pytorch_model.bin, without tokenizer.json with vocab.txt", async () => {
    const { "model.safetensors": _, "tokenizer.json": __, ...rest } = FILES;
    const { name, commit } = fresh(rest);
    await resolve(name);
    expect((await readdir(join(repoDir(name), "snapshots", commit))).sort()).toEqual([
      "config.json",
      "pytorch_model.bin",
      "tokenizer_config.json",
      "vocab.txt",
    ]);
  });

  test("can leave its weights for later", async () => {
    const { name } = fresh();
    await resolve(name, { weights: false });
    expect(at.hub.bodies("model.safetensors")).toEqual([]);
    expect(await wholeFile(await resolve(name), "model.safetensors")).toHaveLength(WEIGHTS.length);
  });

  test("that is none says what it has", async () => {
    const { name } = fresh({ "config.json": CONFIG, "tf_model.h5": "x", "tokenizer.json": "{}" });
    await expect(resolve(name)).rejects.toThrow(/has no model\.safetensors; its weights are tf_model\.h5/);
    expect(existsSync(join(repoDir(name), "refs"))).toBe(false);
    const { name: bare } = fresh({ "README.md": "" });
    await expect(resolve(bare)).rejects.toThrow(/there is no config\.json \(404\)/);
  });

  test("reports progress in bytes of all files", async () => {
    const { name } = fresh();
    const shares: number[] = [];
    const totals = new Set<number>();
    await resolve(name, {
      onProgress({ loaded, total }) {
        shares.push(loaded / total);
        totals.add(total);
      },
    });
    expect([...totals]).toEqual([NEEDED.reduce((sum, path) => sum + Buffer.from(FILES[path] as string).length, 0)]);
    expect(shares.at(-1)).toBe(1);
    expect(shares.toSorted((a, b) => a - b)).toEqual(shares);
    expect(shares.length).toBeGreaterThan(5);
  });

  test("is stopped by a signal, and goes on from there", async () => {
    const { name } = fresh();
    const stop = new AbortController();
    at.hub.fault = ({ server }) => (server === "cdn" ? { stop: { after: 100_000, how: "hang" } } : undefined);
    const running = resolve(name, {
      signal: stop.signal,
      onProgress({ loaded }) {
        if (loaded > 100_000) stop.abort(new Error("enough"));
      },
    });
    await expect(running).rejects.toThrow("enough");
    at.hub.fault = () => undefined;
    at.hub.seen.length = 0;
    await resolve(name);
    expect(at.hub.bodies("model.safetensors").map(({ range }) => range)).toEqual(["bytes=100000-"]);
  });
});

describe("what is meant", () => {
  test("a folder that is there is that folder, and has no revisions", async () => {
    await writeFile(join(at.cacheDir, "config.json"), "here");
    expect(await readText(await resolve(at.cacheDir), "config.json")).toBe("here");
    await expect(resolve(at.cacheDir, { revision: "main" })).rejects.toThrow(/a folder has no revisions/);
    await expect(resolve(join(at.cacheDir, "config.json"))).rejects.toThrow(/a file; give the folder/);
    expect(at.hub.seen).toEqual([]);
  });

  test.each([
    ["./acme/tiny", /there is no such file or folder/],
    ["/acme/tiny", /there is no such file or folder/],
    ["~/tiny", /there is no such file or folder/],
    ["acme/tiny/", /there is no such file or folder/],
    ["a/b/c", /there is no such file or folder/],
    ["C:\\tiny", /there is no such file or folder/],
    ["", /there is no such file or folder/],
    [
      "https://huggingface.co/acme/tiny",
      /^https:.*\/tiny: an address; give org\/name for a model of the hub, or the path/,
    ],
    ["file:///models/tiny", /^file:.*: an address; give org\/name/],
    ["tiny", /no such folder; models of the hub are named org\/name/],
    ["test/tiny", /the folder test is here and has no tiny; .*write hf:\/\/test\/tiny/],
    ["test/node@v1", /the folder test is here/],
    ["acme/ti ny", /not the name of a model/],
    ["acme/ti--ny", /not the name of a model/],
    ["acme/..", /not the name of a model/],
    ["acme/tiny@../../x", /revision "..\/..\/x" .* segment "\.\."/],
    ["acme/tiny@", /revision "" .* it is empty/],
    ["hf://a/b/c", /more than one slash/],
  ])("%j is refused without a request", async (spec, message) => {
    await expect(resolve(spec)).rejects.toThrow(message);
    await expect(resolve(spec)).rejects.toThrow(RangeError);
    expect(at.hub.seen).toEqual([]);
  });

  test("hf:// says that it is of the hub", async () => {
    at.hub.commit("test/tiny", FILES);
    expect((await resolve("hf://test/tiny")).name).toBe("test/tiny");
  });
});

describe("the cache", () => {
  test("serves when the hub cannot be reached, with a warning", async () => {
    const { name } = fresh();
    await resolve(name);
    const folder = await resolve(name, { endpoint: "http://127.0.0.1:9" });
    expect(await readText(folder, "config.json")).toBe(CONFIG);
    expect(warnings).toEqual([
      expect.stringMatching(/no answer.*; taking acme\/model-\d+ from the cache, as of commit/),
    ]);
    at.hub.fault = () => ({ status: 503 });
    await resolve(name);
    expect(warnings.at(-1)).toMatch(/503.*from the cache/);
  });

  test("without the model, an unreachable hub is an error", async () => {
    const retried = resolve("acme/none", { endpoint: "http://127.0.0.1:9" });
    await expect(retried).rejects.toThrow(
      /acme\/none is not in the cache, and the hub does not serve it now: .*no answer/,
    );
  });

  test("alone is asked offline, and says what it lacks", async () => {
    const { name, commit } = fresh();
    await expect(resolve(name, { offline: true })).rejects.toThrow(
      /offline.*there is no acme.*run it once with a network/,
    );
    await resolve(name, { weights: false });
    await expect(resolve(name, { offline: true })).rejects.toThrow(/lacks model\.safetensors: run it once/);
    await resolve(name);
    at.hub.seen.length = 0;
    await resolve(name, { offline: true });
    await resolve(`${name}@${commit}`, { offline: true });
    await expect(resolve(`${name}@v2`, { offline: true })).rejects.toThrow(/there is no acme\/model-\d+@v2/);
    expect(at.hub.seen).toEqual([]);
  });

  test("of Python serves too: nothing says there what a commit lacks, so that is asked once", async () => {
    const { name, commit } = fresh();
    await resolve(name);
    await rm(join(repoDir(name), ".no_exist"), { recursive: true });
    await resolve(name, { offline: true, revision: commit });
    at.hub.seen.length = 0;
    await resolve(name, { revision: commit });
    expect(at.hub.seen.length).toBeGreaterThan(0);
    expect(at.hub.seen.filter(({ path }) => !path.includes("/tree/"))).toEqual([]);
    at.hub.seen.length = 0;
    await resolve(name, { revision: commit });
    expect(at.hub.seen).toEqual([]);
  });

  test("with a blob of the wrong size, as other tools leave them, is mended", async () => {
    const { name, commit } = fresh();
    await resolve(name);
    const blob = join(repoDir(name), "blobs", etagOf("model.safetensors", WEIGHTS));
    await writeFile(blob, "truncated");
    await rm(join(repoDir(name), ".no_exist"), { recursive: true });
    await resolve(name, { revision: commit });
    expect((await stat(blob)).size).toBe(WEIGHTS.length);
  });

  test("that cannot be written says so", async () => {
    const { name } = fresh();
    await writeFile(join(at.cacheDir, "file"), "");
    const elsewhere = resolve(name, { cacheDir: join(at.cacheDir, "file", "hub") });
    await expect(elsewhere).rejects.toThrow(/the cache cannot be written; set HF_HUB_CACHE .* \(ENOTDIR\)/);
  });

  test("is not led out of by links that a snapshot has", async () => {
    const { name, commit } = fresh();
    await mkdir(join(repoDir(name), "snapshots", commit), { recursive: true });
    await writeFile(join(at.cacheDir, "secret"), CONFIG);
    await symlink(join(at.cacheDir, "secret"), join(repoDir(name), "snapshots", commit, "config.json"));
    const folder = await resolve(name);
    expect(await readlink(join(repoDir(name), "snapshots", commit, "config.json"))).toMatch(/^\.\.\/\.\.\/blobs\//);
    expect(await readText(folder, "config.json")).toBe(CONFIG);
  });
});
