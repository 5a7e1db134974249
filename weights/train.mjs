/**
 * Trains movie-bert from scratch: one encoder that guesses masked words and tells praise from blame. README.md says more.
 *
 *   node weights/train.mjs --data DIR --out DIR [--resume] [--steps N] [--adapter NAME] [--like DIR]
 *
 * DIR of --data has sst2/{train,dev,validation}.tsv, rt-polarity/rt-polarity.{pos,neg} and wikitext-2/{valid,test}.txt. Checkpoints
 * go to --out, and in the end the model: --out/model. Ctrl-C saves; the same command with --resume comes to the same bits.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createEngine, float32ToFloat16, loadTokenizer, openDiskStore, openFolder } from "bert-webgpu/node";
import { drawsFor, maskedExample, piecesOf, Trainer } from "bert-webgpu/train";

const SEED = 7;
/** Sequences of a step, all of one kind: with masked words, or labelled. */
const BATCH = 96;
/** Of a sequence, at most. */
const TOKENS = 64;
/** Of its word pieces, the share to be guessed. */
const MASKED = 0.2;
/** Steps of what the trainer takes for an epoch. */
const ROUND = 100;
/** Of steps, the share that is labelled, when so much of the run is done: words are learnt first. */
const labelledShare = (done) => (done < 0.6 ? 0.05 : 0.5);

const LEARNING = {
  ...{ learningRate: 1e-3, warmupSteps: 500, betas: [0.9, 0.98], weightDecay: 0.01, maxGradNorm: 1, seed: SEED },
  ...{ batchSize: BATCH, saveSteps: 100, saveLimit: 2, loggingSteps: 1 },
};

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
}

async function main() {
  const { values } = parseArgs({
    options: {
      data: { type: "string" },
      out: { type: "string" },
      resume: { type: "boolean", default: false },
      steps: { type: "string", default: "12000" },
      adapter: { type: "string", default: "auto" },
      like: { type: "string", default: join(import.meta.dirname, "movie-bert") }, // a folder with config.json and vocabulary
    },
  });
  const { data, out, resume, steps, adapter, like } = values;
  if (data === undefined || out === undefined)
    throw new Error("give --data DIR and --out DIR; weights/README.md says more");
  await mkdir(out, { recursive: true });
  if (!resume && (await readdir(out)).length > 0)
    throw new Error(`${out}: it is not empty; --resume goes on with its run`);

  const folder = openFolder(like);
  const tokenizer = await loadTokenizer(folder);
  const texts = await readTexts(data);
  const run = runOf(texts, tokenizer, Number(steps));
  const engine = await createEngine({ adapter, tuning: false }); // one that is stored meanwhile would make other bits
  const store = await openDiskStore(out);
  const options = { ...LEARNING, objectives: ["mlm", "label"], fromScratch: true, maxSteps: Number(steps) };
  const trainer = await Trainer.create(engine, folder, run.data, options, { store });
  try {
    console.log(`${engine.adapter.name}; ${run.facts}`);
    if (resume) console.log(`going on from ${(await trainer.restore()) ?? "nothing: the run begins anew"}`);
    const stopped = await train(trainer, run.kinds);
    if (stopped !== 0) {
      process.exitCode = stopped;
      return;
    }
    await mkdir(join(out, "model"), { recursive: true });
    for await (const { path, bytes } of shipped(trainer)) await writeFile(join(out, "model", path), bytes);
  } finally {
    trainer.dispose();
    engine.dispose();
  }
  evaluate(join(out, "model"), join(data, "sst2/validation.tsv"), adapter);
}

/** What is learnt of: labelled phrases, and texts to mask words in. No sentence of the validation part is among them. */
async function readTexts(dir) {
  const lines = async (path, encoding) => {
    const text = await readFile(join(dir, path), encoding).catch((error) => {
      throw new Error(`${error.message}; weights/README.md says what is read`);
    });
    return text.split("\n").map((line) => line.trim());
  };
  const labelled = async (path) =>
    (await lines(path, "utf8"))
      .slice(1)
      .filter((line) => line.includes("\t"))
      .map((line) => ({ text: line.replace(/\s*\t[^\t]*$/, ""), label: Number(line.split("\t").at(-1)) }));
  const letters = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  const held = new Set((await labelled("sst2/validation.tsv")).map(({ text }) => letters(text)));
  const learnt = (rows) => rows.filter(({ text }) => text !== "" && !held.has(letters(text)));
  const reviews = async (path, label) => (await lines(path, "latin1")).map((text) => ({ text, label }));
  const wiki = [...(await lines("wikitext-2/valid.txt", "utf8")), ...(await lines("wikitext-2/test.txt", "utf8"))];
  return {
    phrases: learnt([...(await labelled("sst2/train.tsv")), ...(await labelled("sst2/dev.tsv"))]),
    sentences: learnt([
      ...(await reviews("rt-polarity/rt-polarity.pos", 1)),
      ...(await reviews("rt-polarity/rt-polarity.neg", 0)),
    ]),
    others: wiki.filter((line) => line.split(/\s+/).length > 8 && !line.startsWith("=")),
  };
}

/** Of each step its kind, and the examples of all, any of which follows from the seed and its number. */
function runOf({ phrases, sentences, others }, tokenizer, steps) {
  const pieces = (text) => piecesOf(tokenizer.encode(text, undefined, { truncation: true, maxLength: TOKENS }));
  const encoded = (rows) => rows.map(({ text, label }) => ({ ...pieces(text), label }));
  const [short, long] = [encoded(phrases), encoded(sentences)];
  const labelled = [...short, ...long];
  const masked = [...short.filter(({ ids }) => ids.length > 5), ...long, ...long, ...long, ...others.map(pieces)];
  const vocabSize = tokenizer.vocabSize;
  const masking = {
    mask: tokenizer.special.mask,
    vocabSize,
    special: new Set(Object.values(tokenizer.special)),
    share: MASKED,
  };
  const kinds = Array.from({ length: steps }, (_, step) =>
    drawsFor(SEED, 0, step)() < labelledShare(step / steps) ? "label" : "words",
  );
  const taken = { label: 0, words: 0 };
  const before = kinds.map((kind) => taken[kind]++); // steps of the same kind
  const rowOf = { label: endless(labelled, 1), words: endless(masked, 2) };
  const make = {
    label: ({ ids, label }) => ({
      sequence: { inputIds: ids },
      labels: { label, words: new Int32Array(ids.length).fill(-100) },
    }),
    words(row, draw) {
      const { sequence, labels } = maskedExample(row, masking, draw);
      return { sequence, labels: { ...labels, label: -100 } };
    },
  };
  function* epoch(round) {
    for (let step = round * ROUND; step < Math.min(steps, (round + 1) * ROUND); step++) {
      const kind = kinds[step];
      for (let i = 0; i < BATCH; i++) {
        yield make[kind](rowOf[kind](before[step] * BATCH + i), drawsFor(SEED, 3, step, i));
      }
    }
  }
  const all = JSON.stringify([phrases, sentences, others, BATCH, TOKENS, MASKED, kinds]);
  return {
    kinds,
    data: { epoch, fingerprint: createHash("sha256").update(all).digest("hex") },
    facts: `${labelled.length} labelled rows in ${taken.label} steps, ${masked.length} to mask words in ${taken.words}`,
  };
}

/** Row `at` of passes without end over the rows, each in an order of its own. */
function endless(rows, kind) {
  const order = Uint32Array.from(rows, (_, i) => i);
  let pass = -1;
  return (at) => {
    if (pass !== Math.floor(at / rows.length)) {
      pass = Math.floor(at / rows.length);
      const draw = drawsFor(SEED, kind, pass);
      for (const i of order.keys()) order[i] = i;
      for (let i = rows.length - 1; i > 0; i--) {
        const j = Math.floor(draw() * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
      }
    }
    return rows[order[at % rows.length]];
  };
}

/** @returns the exit status where it was interrupted, after a checkpoint; 0: all steps are taken */
async function train(trainer, kinds) {
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => interrupted.abort(128 + constants.signals[name]));
  const { signal } = interrupted;
  let losses = { label: [], words: [] };
  let since = performance.now();
  let saved = trainer.step;
  for await (const event of trainer.run({ signal })) {
    if (event.kind === "saved") saved = event.step;
    if (event.kind !== "step") continue;
    const { step, loss, learningRate } = event;
    losses[kinds[step - 1]].push(loss);
    if (step % 50 !== 0 && step !== kinds.length) continue;
    const mean = (list) => (list.reduce((sum, loss) => sum + loss, 0) / Math.max(1, list.length)).toFixed(3);
    const taken = losses.words.length + losses.label.length;
    const told = `loss of words ${mean(losses.words)}, of labels ${mean(losses.label)} (${losses.label.length} of ${taken} steps)`;
    const pace = `${((performance.now() - since) / 1000 / taken).toFixed(2)} s a step`;
    console.log(`step ${step}/${kinds.length}: ${told}, learning rate ${learningRate.toExponential(2)}, ${pace}`);
    losses = { label: [], words: [] };
    since = performance.now();
  }
  if (trainer.finished) return 0;
  if (saved !== trainer.step) await trainer.save();
  console.log(`interrupted after step ${trainer.step}: it is saved, --resume goes on`);
  return signal.reason;
}

/** The model's files, its weights in F16. */
async function* shipped(trainer) {
  for await (const { path, bytes } of trainer.model()) {
    const slices = [];
    for await (const slice of bytes) slices.push(slice.slice());
    const whole = Buffer.concat(slices);
    if (path === "model.safetensors") yield { path, bytes: halved(whole) };
    else if (path === "config.json") yield { path, bytes: `${whole}`.replace('"float32"', '"float16"') };
    else yield { path, bytes: whole };
  }
}

/** A safetensors file of F32 tensors, in F16. */
function halved(file) {
  const data = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString("utf8", 8, data));
  for (const tensor of Object.values(header)) {
    if (tensor.dtype !== "F32") continue; // metadata
    tensor.dtype = "F16";
    tensor.data_offsets = tensor.data_offsets.map((offset) => offset / 2);
  }
  const text = JSON.stringify(header);
  const head = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(head.length));
  const values = new Float32Array(file.buffer.slice(file.byteOffset + data, file.byteOffset + file.length));
  return Buffer.concat([size, head, new Uint8Array(float32ToFloat16(values).buffer)]);
}

/** What `evaluate` says of the model. */
function evaluate(model, input, adapter) {
  const command = join(import.meta.dirname, "../dist/node/main.js");
  const judged = ["--model", model, "--input", input, "--column", "sentence", "--adapter", adapter];
  for (const task of ["text-classification", "fill-mask"]) {
    const args = [command, "evaluate", "--task", task, ...judged];
    const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
    if (status !== 0) throw new Error(`evaluate --task ${task} ended with status ${status}`);
  }
}
