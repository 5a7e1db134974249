import { lchown, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { unpackSwiftShader } from "../../src/node/swiftshader.ts";

const bundles = process.platform === "linux" && process.arch === "x64";

describe.skipIf(!bundles)("unpackSwiftShader (for Linux on x64 only)", () => {
  let cache = "";
  beforeEach(async () => {
    cache = await mkdtemp(join(tmpdir(), "swiftshader-test-"));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    return rm(cache, { recursive: true });
  });

  test("unpacks the driver, its manifest and a loader, and nothing else", async () => {
    const { manifest, loader } = await unpackSwiftShader(cache);
    const { ICD } = JSON.parse(await readFile(manifest, "utf8")) as { ICD: { library_path: string } };
    const driver = join(dirname(manifest), ICD.library_path);
    for (const library of [driver, loader]) {
      expect((await readFile(library)).subarray(0, 4).toString("latin1")).toBe("\x7fELF");
    }
    expect(await readdir(cache)).toHaveLength(1);
    expect(await readdir(dirname(manifest))).toHaveLength(4); // with the checksums
  });

  test("several at once agree and leave nothing behind", async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => unpackSwiftShader(cache)));
    expect(new Set(all.map(({ loader }) => loader)).size).toBe(1);
    expect(await readdir(cache)).toHaveLength(1);
  });

  test("what was altered or removed since is put right before it is used", async () => {
    const { manifest, loader } = await unpackSwiftShader(cache);
    const good = await readFile(loader);
    const bad = Buffer.from(good);
    bad[5000]! ^= 1;
    await writeFile(loader, bad);
    await rm(manifest);
    await unpackSwiftShader(cache);
    expect((await readFile(loader)).equals(good)).toBe(true);
    expect(await readFile(manifest, "utf8")).toContain("libvk_swiftshader.so");
    expect(await readdir(cache)).toHaveLength(1);
  });

  test("what lies there without checksums is unpacked anew", async () => {
    const { manifest } = await unpackSwiftShader(cache);
    const checksums = join(dirname(manifest), "SHA256SUMS");
    const before = await readFile(checksums, "utf8");
    await rm(checksums);
    await unpackSwiftShader(cache);
    expect(await readFile(checksums, "utf8")).toBe(before);
    expect(before.trim().split("\n")).toHaveLength(3);
  });

  test.skipIf(process.getuid?.() !== 0)("no link that others planted in the temporary folder is followed", async () => {
    vi.stubEnv("XDG_CACHE_HOME", "/dev/null");
    vi.stubEnv("TMPDIR", cache);
    const own = join(cache, "own");
    await mkdir(own);
    await symlink(own, join(cache, "bert-webgpu-0"));
    await lchown(join(cache, "bert-webgpu-0"), 12345, 12345);
    await expect(unpackSwiftShader()).rejects.toThrow("takes a folder to unpack SwiftShader into");
    expect(await readdir(own)).toEqual([]);
  });

  test("intact files are left as they are", async () => {
    const { manifest } = await unpackSwiftShader(cache);
    await writeFile(join(dirname(manifest), "marker"), "");
    await unpackSwiftShader(cache);
    expect(await readdir(dirname(manifest))).toContain("marker");
  });
});
