/** `loadPretrained` and `pipeline` of `bert-webgpu/node`: what they take for a model, and the engine of those who name none. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  classifyText,
  defaultEngine,
  Engine,
  loadPretrained,
  openFolder,
  type PretrainedOptions,
  pipeline,
} from "../../src/node/index.ts";
import { tinyTask } from "../bert/tasks/tiny_task.ts";
import { testDevice } from "../device.ts";
import { runProgram } from "./child.ts";
import { useHub } from "./hub_fixture.ts";
import type { Files } from "./hub_server.ts";

const TEXT = "the film was good";

/** The same answers of another adapter: the default engine's need not be the tests' own. */
function near(answers: readonly (readonly { label: string; score: number }[])[]): unknown[][] {
  return answers.map((labels) => labels.map(({ label, score }) => ({ label, score: expect.closeTo(score, 5) })));
}

let path: string;
let files: Files;
let expected: { label: string; score: number }[][];
let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
  path = await mkdtemp(join(tmpdir(), "model-"));
  const folder = tinyTask();
  const entries = await Promise.all(
    ["config.json", "vocab.txt", "model.safetensors"].map(async (name) => {
      const source = (await folder.open(name))!;
      return [name, await source.read(0, source.size)] as const;
    }),
  );
  files = Object.fromEntries(entries);
  for (const [name, bytes] of entries) await writeFile(join(path, name), bytes);
  expected = await classifyText(await loadPretrained(engine, folder), [TEXT]);
});
afterAll(async () => {
  engine.dispose();
  (await defaultEngine()).dispose();
  await rm(path, { recursive: true });
});

const fixture = useHub();
const hub = (more: object = {}): PretrainedOptions["hub"] => {
  const { cacheDir } = fixture;
  return { cacheDir, endpoint: fixture.hub.endpoint, token: "", offline: false, fetch: globalThis.fetch, ...more };
};

describe("loadPretrained takes", () => {
  test("a path, with an engine and without", async () => {
    const own = await loadPretrained(engine, path);
    expect(await classifyText(own, [TEXT])).toEqual(near(expected));
    const { bytes } = engine.memoryUse;
    const shared = await loadPretrained(path, { dtype: "fp32" });
    expect(await classifyText(shared, [TEXT])).toEqual(near(expected));
    expect(engine.memoryUse.bytes).toBe(bytes); // it lies elsewhere
    expect(shared.model.storage).toBe("f32");
    own.model.dispose();
    shared.model.dispose();
  });

  test("a folder, with an engine and without", async () => {
    for (const bert of [await loadPretrained(engine, openFolder(path)), await loadPretrained(openFolder(path), {})]) {
      expect(await classifyText(bert, [TEXT])).toEqual(near(expected));
      bert.model.dispose();
    }
  });

  test("a model of the hub, whose download tells how far it is", async () => {
    const { name, commit } = fixture.fresh(files);
    const told: number[] = [];
    const onProgress = ({ loaded, total }: { loaded: number; total: number }) => told.push(loaded / total);
    const bert = await loadPretrained(`${name}@${commit}`, { hub: hub({ onProgress }) });
    expect(await classifyText(bert, [TEXT])).toEqual(near(expected));
    expect(told.at(-1)).toBe(1);
    expect(bert.model.name).toBe(`${name}@${commit}`);
    bert.model.dispose();
  });

  test("nothing that it does not know, before anything is fetched", async () => {
    const { name } = fixture.fresh(files);
    const wrong = (options: object) => loadPretrained(name, { hub: hub(), ...options });
    await expect(wrong({ dType: "f16" })).rejects.toThrow(/^loadPretrained: no option "dType"; there are dtype, /);
    await expect(wrong({ dtype: "fp8" })).rejects.toThrow(
      new RangeError('no dtype "fp8"; there are f32 (or fp32), f16 (or fp16), q8'),
    );
    await expect(loadPretrained(engine as never)).rejects.toThrow(/no model is given; give a path, org\/name/);
    await expect(loadPretrained("./no/such/model")).rejects.toThrow(/there is no such file or folder/);
    expect(fixture.hub.seen).toEqual([]);
  });
});

describe("pipeline takes", () => {
  test("a path, a folder and what is loaded, and needs no engine", async () => {
    const bert = await loadPretrained(path);
    for (const model of [path, openFolder(path), bert]) {
      const classify = await pipeline("text-classification", model);
      expect(await classify(TEXT)).toEqual(near(expected)[0]);
      classify.dispose();
    }
    expect(await classifyText(bert, [TEXT])).toEqual(near(expected));
    bert.model.dispose();
  });

  test("no task, dtype or revision that it cannot follow", async () => {
    await expect(pipeline("depth-estimation" as "ner", "no/model")).rejects.toThrow(/no pipeline "depth-/);
    await expect(pipeline("ner", "no/model", { dtype: "q4" as "q8" })).rejects.toThrow(/no dtype "q4"/);
    await expect(pipeline("ner", openFolder(path), { revision: "main" })).rejects.toThrow(/^pipeline: revision main/);
    await expect(pipeline("ner", path, { revision: "main" })).rejects.toThrow(/a folder has no revisions/);
  });
});

test("the default engine is made once, and again after it was disposed", async () => {
  const [first, second] = await Promise.all([defaultEngine(), defaultEngine()]);
  expect(second).toBe(first);
  first.dispose();
  const third = await defaultEngine();
  expect(third).not.toBe(first);
  expect(await defaultEngine()).toBe(third);
  const bert = await loadPretrained(path);
  expect(await classifyText(bert, [TEXT])).toEqual(near(expected));
  bert.model.dispose();
});

test("a process whose engine was named by nobody, and disposed by nobody, ends by itself", async () => {
  const program = `
    import { classifyText, loadPretrained, pipeline } from "./src/node/index.ts";
    const bert = await loadPretrained(${JSON.stringify(path)});
    const [[best]] = await classifyText(bert, [${JSON.stringify(TEXT)}]);
    const classify = await pipeline("text-classification", ${JSON.stringify(path)});
    const [same] = await classify(${JSON.stringify(TEXT)});
    console.log(best.label, same.label);`;
  const { code, stdout, stderr, lingered } = await runProgram(program);
  const { label } = expected[0]![0]!;
  expect({ code, stdout, stderr: stderr.replace(/^Warning: max.*\n/gm, "") }).toEqual({
    code: 0,
    stdout: `${label} ${label}\n`,
    stderr: "",
  });
  expect(lingered).toBeLessThan(5000);
});
