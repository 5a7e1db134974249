/** The published bundle, dist/index.js, with the model that ships: its answers against the float64 ones of golden.json. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type * as BertWebGpu from "../../src/index.ts";
import type { Scalar } from "../../src/kernels/kernel.ts";
import { compare } from "../kernels/harness.ts";
import { attempt, inWords, type Tally, tally } from "./tally.ts";

interface Golden {
  readonly classification: readonly {
    text: string;
    ids: number[];
    probabilities: [negative: number, positive: number];
  }[];
  readonly fill_mask: readonly { text: string; top5: [token: string, probability: number][] }[];
}

/** Of a probability, or an element of a vector of length 1: as derived in test/bert/golden.test.ts. */
const ERRORS: Readonly<Record<Scalar, number>> = { f32: 1e-5, f16: 5e-3 };

/** Where the mean vector of "hello world", normalised, begins: in f32 on Dawn, the same on lavapipe and SwiftShader. */
const HELLO_WORLD = [-0.0931994, 0.1771172, -0.1227462, 0.0303241];

/** As the device is, and as a GPU: that takes other kernels. */
export async function checkBundle(device: GPUDevice, dtype: Scalar): Promise<Tally> {
  const counts = tally();
  if (dtype === "f16" && !device.features.has("shader-f16")) {
    counts.skipped++;
    console.log(`bundle f16: ${inWords(counts)} (no shader-f16)`);
    return counts;
  }
  const bertWebGpu = (await import(pathToFileURL(join(process.cwd(), "dist/index.js")).href)) as typeof BertWebGpu;
  const own = bertWebGpu.adapterSummary(device.adapterInfo);
  for (const software of new Set([own.software, false])) {
    const engine = await bertWebGpu.Engine.create({ device, adapter: { ...own, software } });
    await checkEngine(counts, bertWebGpu, engine, dtype, `bundle ${dtype}${software ? "" : " as on a GPU"}`);
    engine.dispose();
  }
  console.log(`bundle ${dtype}: ${inWords(counts)}`);
  return counts;
}

async function checkEngine(
  counts: Tally,
  { bytesSource, classifyText, embedText, fillMask, float16ToFloat32, loadPretrained }: typeof BertWebGpu,
  engine: BertWebGpu.Engine,
  dtype: Scalar,
  where: string,
): Promise<void> {
  const path = join(process.cwd(), "weights/movie-bert");
  const open: BertWebGpu.Folder["open"] = async (name) => {
    const bytes = await readFile(join(path, name)).catch(() => undefined);
    return bytes && bytesSource(name, new Uint8Array(bytes));
  };
  const golden = JSON.parse(await readFile(join(path, "golden.json"), "utf8")) as Golden;
  const bound = { absolute: ERRORS[dtype], relative: 0 };
  let bert: BertWebGpu.Pretrained | undefined;
  await attempt(counts, `${where}: load`, async () => {
    bert = await loadPretrained(engine, { name: "movie-bert", open }, { dtype });
  });
  const loaded = bert;
  if (loaded === undefined) return;

  await attempt(counts, `${where}: classify`, async () => {
    const texts = golden.classification.map(({ text }) => text);
    const answers = await classifyText(loaded, texts, { topK: null });
    for (const [i, { text, probabilities }] of golden.classification.entries()) {
      const scores = new Map(answers[i]!.map(({ label, score }) => [label, score]));
      const got = ["NEGATIVE", "POSITIVE"].map((label) => scores.get(label) ?? Number.NaN);
      compare(text, got, probabilities, bound);
    }
  });

  await attempt(counts, `${where}: fill a mask`, async () => {
    const texts = golden.fill_mask.map(({ text }) => text);
    const answers = await fillMask(loaded, texts);
    for (const [i, { text, top5 }] of golden.fill_mask.entries()) {
      const scores = new Map(answers[i]![0]!.map(({ token_str, score }) => [token_str, score]));
      const got = top5.map(([token]) => scores.get(token) ?? Number.NaN);
      compare(
        text,
        got,
        top5.map(([, probability]) => probability),
        bound,
      );
    }
  });

  const embedding = { pooling: "mean", normalize: true } as const;
  await attempt(counts, `${where}: embed`, async () => {
    const [vector] = await embedText(loaded, ["hello world"], embedding);
    compare("hello world", vector!.subarray(0, HELLO_WORLD.length), HELLO_WORLD, bound);
  });

  await attempt(counts, `${where}: bind to the app's encoder`, async () => {
    const { text, ids } = golden.classification[0]!;
    const [expected] = await embedText(loaded, [text], embedding);
    const program = await loaded.model.bind([{ inputIds: ids }], { embedding });
    const { device } = engine;
    const output = program.outputs.embedding!;
    const copy = device.createBuffer({ size: output.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    program.encode(encoder);
    encoder.copyBufferToBuffer(output, 0, copy, 0, output.size);
    device.queue.submit([encoder.finish()]);
    program.dispose();
    await copy.mapAsync(GPUMapMode.READ);
    const bytes = copy.getMappedRange();
    const values = dtype === "f16" ? float16ToFloat32(new Uint16Array(bytes)) : new Float32Array(bytes);
    compare(text, values.subarray(0, expected!.length), expected!, bound);
    copy.destroy();
  });
}
