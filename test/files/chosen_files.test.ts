/** Chosen and dropped files as a folder: their paths, slices of them, and a model loaded from them. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadTokenizer } from "../../src/bert/tokenizer/load.ts";
import { readText } from "../../src/files/bytes.ts";
import { openCheckpoint } from "../../src/files/checkpoint.ts";
import { filePath, filesFolder } from "../../src/files/chosen_files.ts";

/** As browsers make them: Node's File has no `webkitRelativePath`. */
function chosen(path: string, content: BlobPart): File {
  const file = new File([content], path.replace(/^.*\//, ""));
  return Object.defineProperty(file, "webkitRelativePath", { value: path });
}

describe("paths", () => {
  test("within a chosen folder, without the folder's own name", () => {
    expect(filePath(chosen("bert/1_Pooling/config.json", ""))).toBe("1_Pooling/config.json");
    expect(filePath(chosen("bert/config.json", ""))).toBe("config.json");
  });

  test("of a file chosen by itself, its name", () => {
    expect(filePath(new File([""], "model.safetensors"))).toBe("model.safetensors");
    const alone = Object.defineProperty(new File([""], "vocab.txt"), "webkitRelativePath", { value: "" });
    expect(filePath(alone)).toBe("vocab.txt");
  });

  test("a file is found by its path, and another one is not there", async () => {
    const folder = filesFolder("bert", [chosen("bert/1_Pooling/config.json", "{}"), chosen("bert/vocab.txt", "a\n")]);
    expect(folder.name).toBe("bert");
    expect(await readText(folder, "1_Pooling/config.json")).toBe("{}");
    expect(await folder.open("config.json")).toBeUndefined();
    expect(await folder.open("bert/vocab.txt")).toBeUndefined();
  });

  test("blobs by path, as gathered from a dropped directory", async () => {
    const folder = filesFolder("dropped", new Map([["2_Dense/config.json", new Blob(["[]"])]]));
    expect(await readText(folder, "2_Dense/config.json")).toBe("[]");
  });

  test("two files of one path are refused", () => {
    const twice = [new File(["a"], "vocab.txt"), new File(["b"], "vocab.txt")];
    expect(() => filesFolder("bert", twice)).toThrow(/bert: two files are called "vocab.txt"/);
  });

  test.each(["../secret", "/etc/passwd", "a\\b", "C:/x", "%2e%2e/x", "", "a//b"])("%j is refused", async (path) => {
    const folder = filesFolder("bert", new Map([[path, new Blob(["x"])]]));
    await expect(folder.open(path)).rejects.toThrow(/bert: path .* is refused/);
  });
});

describe("slices", () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
  const open = async () => (await filesFolder("bert", [new File([bytes], "data")]).open("data"))!;

  test("are the bytes asked for", async () => {
    const source = await open();
    expect([source.name, source.size]).toEqual(["bert/data", 1000]);
    expect(await source.read(990, 10)).toEqual(bytes.subarray(990));
    expect(await source.read(0, 0)).toEqual(new Uint8Array());
    await source.close();
    await source.close();
  });

  test.each([
    [990, 11],
    [-1, 2],
    [0, -1],
    [Number.NaN, 1],
  ])("from %d, %d long, is out of range", async (offset, length) => {
    await expect((await open()).read(offset, length)).rejects.toThrow(/asked, the file has 1000/);
  });

  test("of a file that cannot be read any more: it says so", async () => {
    const gone = Object.defineProperty(new Blob(["abc"]), "slice", {
      value: () => ({ arrayBuffer: () => Promise.reject(new Error("the file was changed")) }),
    });
    const source = await filesFolder("bert", new Map([["data", gone]])).open("data");
    await expect(source!.read(0, 3)).rejects.toThrow(
      /bert\/data: it cannot be read \(the file was changed\).*choose it/,
    );
  });
});

test("the model that ships, chosen as a folder", async () => {
  const names = ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"];
  const root = join(import.meta.dirname, "../../weights/movie-bert");
  const folder = filesFolder(
    "movie-bert",
    names.map((name) => chosen(`movie-bert/${name}`, readFileSync(join(root, name)))),
  );
  expect((await loadTokenizer(folder)).vocabSize).toBe(8000);
  const checkpoint = await openCheckpoint(folder);
  const values = await checkpoint.readFloats("bert.embeddings.LayerNorm.weight");
  expect(values.length).toBe(192);
  expect(values.every(Number.isFinite)).toBe(true);
  await checkpoint.close();
});
