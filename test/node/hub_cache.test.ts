/** The cache as it is listed, and where the environment puts it. */

import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hubSettings } from "../../src/node/hub/environment.ts";
import { scanHubCache } from "../../src/node/hub/scan.ts";
import { FILES, NEEDED, useHub, WEIGHTS, wholeFile } from "./hub_fixture.ts";
import { etagOf } from "./hub_server.ts";

const at = useHub();
const { fresh, resolve, repoDir } = at;

const sizeOf = (path: string): number => Buffer.from(FILES[path] as string).length;
const BYTES = NEEDED.reduce((sum, path) => sum + sizeOf(path), 0);

describe("a scan", () => {
  test("of nothing is empty", async () => {
    expect(await scanHubCache(join(at.cacheDir, "none"))).toEqual([]);
    await writeFile(join(at.cacheDir, "models--acme--file"), "");
    await mkdir(join(at.cacheDir, "datasets--acme--data"));
    await mkdir(join(at.cacheDir, "models--..--.."));
    expect(await scanHubCache(at.cacheDir)).toEqual([]);
    await expect(scanHubCache(join(at.cacheDir, "models--acme--file"))).rejects.toThrow(/the cache cannot be read/);
  });

  test("has models with their revisions; what revisions share counts once", async () => {
    const { name, commit } = fresh();
    await resolve(name);
    const next = at.hub.commit(name, { ...FILES, "config.json": "{ }" });
    at.hub.repo(name).refs.set("refs/pr/1", next);
    await resolve(name);
    await resolve(`${name}@refs/pr/1`);
    await writeFile(join(repoDir(name), "blobs", "0".repeat(64).concat(".incomplete")), "half");
    const [model, ...others] = await scanHubCache(at.cacheDir);
    expect(others).toEqual([]);
    expect(model).toMatchObject({ name, path: repoDir(name), bytes: BYTES + 3 + 4, incompleteBytes: 4 });
    const revisions = new Map(model!.revisions.map((revision) => [revision.commit, revision]));
    expect(revisions.get(commit)).toMatchObject({
      refs: [],
      bytes: BYTES,
      files: 4,
      architectures: ["BertForMaskedLM"],
      missing: [],
    });
    expect(revisions.get(next)).toMatchObject({ refs: ["main", "refs/pr/1"], architectures: [] });
    expect(revisions.size).toBe(2);
  });

  test("says what a revision lacks, and does not trust what it finds", async () => {
    const { name } = fresh();
    await resolve(name, { weights: false });
    expect((await scanHubCache(at.cacheDir))[0]!.revisions[0]!.missing).toEqual(["model.safetensors"]);
    const snapshot = join(at.cacheDir, "models--acme--odd/snapshots", "0".repeat(40));
    await mkdir(join(snapshot, "..", "not a commit"), { recursive: true });
    await mkdir(snapshot);
    await writeFile(join(snapshot, "config.json"), '{"architectures":[7,"A"],"x":NaN}');
    await symlink("../../../nowhere", join(snapshot, "model.safetensors"));
    const odd = (await scanHubCache(at.cacheDir)).find((model) => model.name === "acme/odd");
    expect(odd!.revisions).toMatchObject([{ architectures: ["A"], files: 1, missing: ["model.safetensors"] }]);
    await writeFile(join(snapshot, "model.safetensors.index.json"), "{");
    expect((await scanHubCache(at.cacheDir))[1]!.revisions).toMatchObject([{ missing: ["a readable index"] }]);
  });
});

test("blobs that Python shares between models are found", async () => {
  const { name } = fresh();
  await resolve(name);
  const etag = etagOf("model.safetensors", WEIGHTS);
  await mkdir(join(at.cacheDir, "blobs", "ab"), { recursive: true });
  await writeFile(join(at.cacheDir, "blobs", "ab", "abc"), WEIGHTS);
  await rm(join(repoDir(name), "blobs", etag));
  await symlink("../../blobs/ab/abc", join(repoDir(name), "blobs", etag));
  expect(await wholeFile(await resolve(name, { offline: true }), "model.safetensors")).toHaveLength(WEIGHTS.length);
});

describe("the environment", () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "hf-home-"));
    await writeFile(join(home, "token"), "hf_file\n");
    await writeFile(join(home, "other"), "hf_other");
  });
  afterAll(() => rm(home, { recursive: true }));

  test("is Python's: defaults", async () => {
    expect(await hubSettings({}, {})).toMatchObject({
      endpoint: "https://huggingface.co",
      cacheDir: join(homedir(), ".cache/huggingface/hub"),
      offline: false,
    });
  });

  test.each([
    [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/x", HF_HOME: "/h" }, "/h/hub"],
    [{ HF_HOME: "~/h" }, join(homedir(), "h/hub")],
    [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
    [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/new" }, "/new"],
    [{ HF_HOME: "", HF_HUB_CACHE: "", XDG_CACHE_HOME: "" }, join(homedir(), ".cache/huggingface/hub")],
  ])("is Python's: the cache of %j is %s", async (env, cacheDir) => {
    expect((await hubSettings({}, env)).cacheDir).toBe(cacheDir);
    expect((await hubSettings({ cacheDir: "/given" }, env)).cacheDir).toBe("/given");
  });

  test("is Python's: the token", async () => {
    const token = async (env: Record<string, string>, given?: string) =>
      (await hubSettings({ token: given }, { HF_HOME: home, ...env })).token;
    expect(await token({})).toBe("hf_file");
    expect(await token({ HF_TOKEN_PATH: join(home, "other") })).toBe("hf_other");
    expect(await token({ HF_TOKEN: " hf_env " })).toBe("hf_env");
    expect(await token({ HF_TOKEN: "hf_env", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" })).toBeUndefined();
    expect(await token({ HF_TOKEN: "hf_env" }, "hf_given")).toBe("hf_given");
    expect(await token({ HF_TOKEN: "hf_env" }, "")).toBeUndefined();
    expect(await token({ HF_HOME: join(home, "none") })).toBeUndefined();
    const error = await token({ HF_TOKEN: "hf_sec\u0000ret" }).catch(String);
    expect(error).toMatch(/HF_TOKEN.* has characters that no token has/);
    expect(error).not.toMatch(/sec/);
  });

  test.each(["1", "ON", "yes", "True"])("is Python's: HF_HUB_OFFLINE=%s", async (value) => {
    expect((await hubSettings({}, { HF_HUB_OFFLINE: value })).offline).toBe(true);
    expect((await hubSettings({}, { HF_HUB_OFFLINE: "0", TRANSFORMERS_OFFLINE: value })).offline).toBe(true);
    expect((await hubSettings({ offline: false }, { HF_HUB_OFFLINE: value })).offline).toBe(false);
  });

  test("is Python's: the endpoint, without its last slash", async () => {
    const endpoint = async (text: string) => (await hubSettings({}, { HF_ENDPOINT: text })).endpoint;
    expect(await endpoint("https://mirror.example/hub//")).toBe("https://mirror.example/hub");
    expect(await endpoint("")).toBe("https://huggingface.co");
    for (const bad of ["mirror", "ftp://x", "https://me:pw@x", "https://x?y"]) {
      await expect(endpoint(bad)).rejects.toThrow(/is not the address of a hub \(HF_ENDPOINT\)/);
    }
  });
});
