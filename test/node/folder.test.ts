import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ByteSource } from "../../src/files/bytes.ts";
import { readText } from "../../src/files/bytes.ts";
import { describeCheckpoint } from "../../src/files/describe.ts";
import { openFile, openFolder } from "../../src/node/folder.ts";
import { buildSafetensors } from "../files/build.ts";

const WINDOWS = process.platform === "win32";

let root: string;
let model: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "folder-"));
  model = join(root, "model");
  await mkdir(join(model, "1_Pooling"), { recursive: true });
  await writeFile(join(model, "config.json"), "0123456789");
  await writeFile(join(model, "1_Pooling", "config.json"), "{}");
  await writeFile(join(root, "secret"), "secret");
});
afterEach(() => rm(root, { recursive: true }));

const text = async (source: ByteSource | undefined): Promise<string | undefined> => {
  if (source === undefined) return undefined;
  const bytes = await source.read(0, source.size);
  await source.close();
  return new TextDecoder().decode(bytes);
};

describe("a folder", () => {
  test("reads slices by position, at once as well", async () => {
    const source = (await openFolder(model).open("config.json"))!;
    expect(source.name).toBe(join(model, "config.json"));
    expect(source.size).toBe(10);
    const slices = await Promise.all([source.read(7, 3), source.read(0, 2), source.read(10, 0), source.read(2, 5)]);
    expect(slices.map((bytes) => new TextDecoder().decode(bytes))).toEqual(["789", "01", "", "23456"]);
    await source.close();
  });

  test("has files in folders, and says undefined where there is none", async () => {
    const folder = openFolder(model);
    expect(await readText(folder, "1_Pooling/config.json")).toBe("{}");
    expect(await folder.open("model.safetensors")).toBeUndefined();
    expect(await folder.open("none/model.safetensors")).toBeUndefined();
    expect(await folder.open("config.json/x")).toBeUndefined();
  });

  test("that is not there is an error", async () => {
    await expect(openFolder(join(root, "none")).open("config.json")).rejects.toThrow(/ENOENT.*none/);
  });

  test("reads past the end are refused with both numbers, and a file that shrinks is noticed", async () => {
    const source = (await openFolder(model).open("config.json"))!;
    await expect(source.read(8, 3)).rejects.toThrow(/bytes 8\.\.11 asked, the file has 10/);
    await expect(source.read(-1, 1)).rejects.toThrow(RangeError);
    await expect(source.read(0, Number.NaN)).rejects.toThrow(RangeError);
    await truncate(join(model, "config.json"), 4);
    await expect(source.read(2, 5)).rejects.toThrow(/it was 10 bytes and ends at 4/);
    await source.close();
  });

  test("closes once; reading after that fails", async () => {
    const source = (await openFolder(model).open("config.json"))!;
    await Promise.all([source.close(), source.close()]);
    await source.close();
    await expect(source.read(0, 1)).rejects.toThrow();
  });

  test.each([
    "../secret",
    "1_Pooling/../../secret",
    "1_Pooling/..",
    "/etc/passwd",
    "..\\secret",
    "C:\\secret",
    "C:/secret",
    "file:///etc/passwd",
    "%2e%2e/secret",
    "%2E%2E%2Fsecret",
    "..%5csecret",
    "config.json\0",
    "config\n.json",
    "./config.json",
    "1_Pooling//config.json",
    "",
    ".",
    "..",
  ])("refuses the path %j", async (path) => {
    await expect(openFolder(model).open(path)).rejects.toThrow(/path ".*" is refused: it /);
  });

  test("refuses a directory", async () => {
    await expect(openFolder(model).open("1_Pooling")).rejects.toThrow(/1_Pooling: it is a directory/);
  });
});

describe.skipIf(WINDOWS)("special files (skipped on Windows)", () => {
  test("links within the folder are followed, links out of it are not", async () => {
    const folder = openFolder(model);
    await symlink("config.json", join(model, "inner"));
    await symlink("../secret", join(model, "relative"));
    await symlink(join(root, "secret"), join(model, "absolute"));
    await symlink("..", join(model, "up"));
    await symlink("inner", join(model, "chain"));
    await symlink("relative", join(model, "chained-out"));
    expect(await text(await folder.open("inner"))).toBe("0123456789");
    expect(await text(await folder.open("chain"))).toBe("0123456789");
    for (const path of ["relative", "absolute", "up/secret", "chained-out"]) {
      await expect(folder.open(path)).rejects.toThrow(/it is a link to .*secret, which is outside the folder/);
    }
  });

  test("a neighbour whose name begins alike is outside", async () => {
    await mkdir(join(root, "model-2"));
    await writeFile(join(root, "model-2", "config.json"), "");
    await symlink("../model-2/config.json", join(model, "link"));
    await expect(openFolder(model).open("link")).rejects.toThrow(/outside the folder/);
  });

  test("the folder itself may be a link", async () => {
    await symlink("model", join(root, "alias"));
    expect(await text(await openFolder(join(root, "alias")).open("config.json"))).toBe("0123456789");
  });

  test("a link to nothing is told from nothing", async () => {
    await symlink("gone", join(model, "dangling"));
    await expect(openFolder(model).open("dangling")).rejects.toThrow(/it is a link to a file that does not exist/);
    await symlink("loop", join(model, "loop"));
    await expect(openFolder(model).open("loop")).rejects.toThrow(/ELOOP/);
  });

  test("a FIFO is refused and does not block", async () => {
    execFileSync("mkfifo", [join(model, "pipe")]);
    await expect(openFolder(model).open("pipe")).rejects.toThrow(/it is not a regular file/);
    await expect(openFile(join(model, "pipe"))).rejects.toThrow(/it is not a regular file/);
  });

  describe("in a Hugging Face cache", () => {
    let snapshot: string;
    beforeEach(async () => {
      const repository = join(root, "models--someone--model");
      snapshot = join(repository, "snapshots", "0123abcd");
      await mkdir(join(snapshot, "1_Pooling"), { recursive: true });
      await mkdir(join(repository, "blobs"));
      await mkdir(join(repository, "refs"));
      await writeFile(join(repository, "blobs", "cafe"), "blob");
      await writeFile(join(repository, "refs", "main"), "0123abcd");
      await symlink("../../blobs/cafe", join(snapshot, "config.json"));
      await symlink("../../../blobs/cafe", join(snapshot, "1_Pooling", "config.json"));
    });

    test("links to blobs are followed, from the snapshot and from its folders", async () => {
      const folder = openFolder(snapshot);
      expect(await text(await folder.open("config.json"))).toBe("blob");
      expect(await text(await folder.open("1_Pooling/config.json"))).toBe("blob");
      expect(await text(await openFolder(join(snapshot, "1_Pooling")).open("config.json"))).toBe("blob");
    });

    test("links to anything else are not", async () => {
      await symlink("../../../secret", join(snapshot, "out"));
      await symlink("../../refs/main", join(snapshot, "refs"));
      await symlink(join(root, "secret"), join(snapshot, "..", "..", "blobs", "evil"));
      await symlink("../../blobs/evil", join(snapshot, "evil"));
      for (const path of ["out", "refs", "evil"]) {
        await expect(openFolder(snapshot).open(path)).rejects.toThrow(/outside the folder/);
      }
    });

    test("a folder that only looks like one gets nothing of it", async () => {
      const fake = join(root, "home", "snapshots", "x");
      await mkdir(fake, { recursive: true });
      await mkdir(join(root, "home", "blobs"));
      await writeFile(join(root, "home", "blobs", "cafe"), "");
      await symlink("../../blobs/cafe", join(fake, "config.json"));
      await expect(openFolder(fake).open("config.json")).rejects.toThrow(/outside the folder/);
    });
  });

  test("a shard that is a link out of the folder is a fault of the checkpoint", async () => {
    const shard = buildSafetensors({ a: { dtype: "U8", shape: [1], data: new Uint8Array(1) } });
    await writeFile(join(root, "outside.safetensors"), shard);
    await symlink("../outside.safetensors", join(model, "shard.safetensors"));
    const index = JSON.stringify({ weight_map: { a: "shard.safetensors" } });
    await writeFile(join(model, "model.safetensors.index.json"), index);
    const { faults } = await describeCheckpoint(openFolder(model));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/shard.safetensors: it is a link to .*outside.safetensors, which is outside the folder/);
  });
});

test.skipIf(process.platform !== "linux")("nothing stays open (skipped where /proc is not)", async () => {
  const count = async (): Promise<number> => (await readdir("/proc/self/fd")).length;
  await writeFile(join(model, "model.safetensors"), "broken");
  await describeCheckpoint(openFolder(model));
  const before = await count();
  for (let i = 0; i < 20; i++) {
    await describeCheckpoint(openFolder(model));
    await openFolder(model)
      .open("1_Pooling")
      .catch(() => {});
    await readText(openFolder(model), "config.json");
  }
  expect(await count()).toBe(before);
});

describe("a file", () => {
  test("is opened by any path, links included", async () => {
    expect(await text(await openFile(join(root, "secret")))).toBe("secret");
    if (!WINDOWS) {
      await symlink("../secret", join(model, "link"));
      expect(await text(await openFile(join(model, "link")))).toBe("secret");
    }
  });

  test("must be there, and be a file", async () => {
    await expect(openFile(join(root, "none"))).rejects.toThrow(/ENOENT/);
    await expect(openFile(model)).rejects.toThrow(/model: it is a directory/);
  });
});
