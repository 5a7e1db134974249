/** `convert`, from its source: what it writes, what it refuses, and what it leaves behind. */

import { existsSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openCheckpoint, openCheckpointFile } from "../../src/files/checkpoint.ts";
import { OverflowError } from "../../src/files/dtype.ts";
import { convertCommand } from "../../src/node/cli/convert.ts";
import { InputError } from "../../src/node/cli/failure.ts";
import { claimOutput } from "../../src/node/data/claim.ts";
import { openFile, openFolder } from "../../src/node/folder.ts";
import { buildArchive, call, FILE, global, text, VALUES } from "../files/pytorch_build.ts";

let dir: string;
let [from, out] = ["", ""];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "convert-"));
  from = join(dir, "pytorch_model.bin");
  out = join(dir, "model.safetensors");
  await writeFile(from, buildArchive(FILE));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(dir, { recursive: true });
});

/** @returns what it printed */
async function convert(...args: readonly string[]): Promise<string> {
  let printed = "";
  vi.spyOn(process.stdout, "write").mockImplementation((line) => {
    printed += String(line);
    return true;
  });
  await convertCommand()
    .exitOverride()
    .parseAsync([...args], { from: "user" });
  return printed;
}

test("a PyTorch file becomes a safetensors file", async () => {
  expect(await convert(from, out)).toBe(
    `${out}: 11 tensors of ${from} (1 I64 + 10 F32), 59 parameters, ${(await stat(out)).size.toLocaleString("en")} bytes\n`,
  );
  const written = await openCheckpointFile(await openFile(out));
  for (const [name, values] of Object.entries(VALUES)) expect([...(await written.readFloats(name))]).toEqual(values);
  expect([...written.files.values()][0]!.metadata).toEqual(new Map([["format", "pt"]]));
  await written.close();
  expect((await readdir(dir)).sort()).toEqual(["model.safetensors", "pytorch_model.bin"]);
});

test("--json and --dtype", async () => {
  expect(JSON.parse(await convert(dir, out, "--dtype", "f16", "--json"))).toEqual({
    path: out,
    from: dir,
    files: ["pytorch_model.bin"],
    tensors: 11,
    parameters: 59,
    bytes: (await stat(out)).size,
    dtypes: { I64: 1, F16: 10 },
    converted: 10,
  });
});

test("a file that is there is kept, unless --force; also when what would replace it fails", async () => {
  await writeFile(out, "precious");
  await expect(convert(from, out)).rejects.toThrow(
    new InputError(`${out}: it is there already; --force overwrites it`),
  );
  const { "0": storage } = FILE.storages;
  const huge = { ...storage!, data: Float32Array.of(1e30) };
  const tensors = { w: { storage: "0", shape: [1], strides: [1] } };
  await writeFile(from, buildArchive({ storages: { "0": huge }, tensors }));
  await expect(convert(from, out, "--dtype", "f16", "--force")).rejects.toThrow(OverflowError);
  expect(await readFile(out, "utf8")).toBe("precious");
  expect((await readdir(dir)).sort()).toEqual(["model.safetensors", "pytorch_model.bin"]);
  await convert(from, out, "--force");
  await expect(convert(out, out, "--force")).rejects.toThrow(
    /model.safetensors: it is the input .*; name another output/,
  );
  const written = await openCheckpointFile(await openFile(out));
  expect(await written.read("w")).toEqual(Float32Array.of(Math.fround(1e30)));
  await written.close();
});

test("one at a time, and never through what is no file", async () => {
  const claim = await claimOutput(out);
  await expect(convert(from, out, "--force")).rejects.toThrow(/another job, process \d+, is writing it/);
  await claim.release();
  await symlink(join(dir, "nothing"), out);
  await expect(convert(from, out, "--force")).rejects.toThrow(/link to a file that does not exist/);
  await rm(out);
  await writeFile(join(dir, "real"), "old", { mode: 0o600 });
  await symlink("real", out);
  await convert(from, out, "--force");
  expect((await lstat(out)).isSymbolicLink()).toBe(true);
  expect((await stat(out)).mode & 0o777).toBe(0o600);
  await expect(convert(dir, out, "--force")).rejects.toThrow(/it is the input/);
  expect((await readdir(dir)).sort()).toEqual(["model.safetensors", "pytorch_model.bin", "real"]);
});

test("no other file of the model is written over", async () => {
  const config = join(dir, "config.json");
  await writeFile(config, "precious");
  await expect(convert(dir, config, "--force")).rejects.toThrow(`${config}: it is the input ${config}`);
  expect(await readFile(config, "utf8")).toBe("precious");
  expect((await readdir(dir)).sort()).toEqual(["config.json", "pytorch_model.bin"]);
});

test("what it cannot read or write is refused, and nothing is left behind", async () => {
  await mkdir(join(dir, "folder"));
  await expect(convert(from, join(dir, "folder"), "--force")).rejects.toThrow(/it is a folder; name the file to write/);
  await expect(convert(from, join(dir, "nowhere", "x"))).rejects.toThrow(/nowhere.x: it cannot be written \(ENOENT\)/);
  await expect(convert(join(dir, "nothing"), out)).rejects.toThrow(/nothing: there is no such file or folder|ENOENT/);
  await expect(convert(join(dir, "folder"), out)).rejects.toThrow(
    /neither model.safetensors nor pytorch_model.bin is there/,
  );
  const evil = call(global("posix", "system"), text("touch x"));
  await writeFile(from, buildArchive({ storages: {}, root: () => evil }));
  await expect(convert(from, out)).rejects.toThrow(/global "posix.system" is refused, nothing was executed/);
  await expect(convert(from, out, "--dtype", "f64")).rejects.toThrow(/f32, f16/);
  expect((await readdir(dir)).sort()).toEqual(["folder", "pytorch_model.bin"]);
});

const FIXTURES = fileURLToPath(new URL("../../../shared/fixtures/", import.meta.url));

describe.skipIf(!existsSync(FIXTURES))("files of torch itself (skipped without ../shared)", () => {
  test("all variants convert to the same file, with the weights of seqcls-single", async () => {
    const expected = await openCheckpoint(openFolder(join(FIXTURES, "inference/seqcls-single")));
    const files: Buffer[] = [];
    for (const variant of ["zip", "legacy", "parameters", "shared-storage", "strided"]) {
      await convert(join(FIXTURES, "pytorch", variant), out, "--force");
      files.push(await readFile(out));
    }
    for (const file of files) expect(file.equals(files[0]!)).toBe(true);
    const written = await openCheckpointFile(await openFile(out));
    expect(new Set(written.tensors.keys())).toEqual(new Set(expected.tensors.keys()));
    for (const name of expected.tensors.keys()) expect(await written.read(name)).toEqual(await expected.read(name));
    await written.close();
    await expected.close();
  });
});
