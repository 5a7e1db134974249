/** Tiny models and data that can be learnt, made afresh: the same for the same seed. */

import { bytesSource, type Folder } from "../../src/files/bytes.ts";
import { uniforms } from "../../src/train/initial.ts";
import type { TrainingData } from "../../src/train/options.ts";
import type { Example } from "../../src/train/step.ts";
import type { Store, StoredFile } from "../../src/train/store.ts";
import type { Trainer, TrainerParts } from "../../src/train/trainer.ts";

export const CONFIG: Readonly<Record<string, unknown>> = {
  ...{ model_type: "bert", vocab_size: 60, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2 },
  ...{ intermediate_size: 48, hidden_act: "gelu", max_position_embeddings: 24, type_vocab_size: 2 },
  ...{ hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1, initializer_range: 0.02, pad_token_id: 0 },
};

export function folderOf(files: Readonly<Record<string, string | Uint8Array>>, name = "tiny"): Folder {
  return {
    name,
    async open(path) {
      const content = files[path];
      if (content === undefined) return undefined;
      return bytesSource(`${name}/${path}`, typeof content === "string" ? new TextEncoder().encode(content) : content);
    },
  };
}

export const tinyFolder = (config: object = {}): Folder =>
  folderOf({ "config.json": JSON.stringify({ ...CONFIG, ...config }), "vocab.txt": "[PAD]\n[UNK]\n" });

export type Task = "label" | "mlm" | "tags" | "span";

/** Sequences of 3 to 20 tokens. A sequence's label is which of two tokens it begins with. */
export function exampleOf(random: () => number, task: Task): Example {
  const length = 3 + Math.floor(random() * 18);
  const inputIds = Uint32Array.from({ length }, (_, i) =>
    i === 0 ? 1 + Math.floor(random() * 2) : 3 + Math.floor(random() * 57),
  );
  const high = (id: number): number => (id >= 31 ? 1 : 0);
  const labels = {
    label: { label: inputIds[0]! - 1 },
    mlm: { words: Array.from(inputIds, (id, i) => (i % 4 === 1 ? id : -100)) },
    tags: { tags: Array.from(inputIds, (id, i) => (i === 0 ? -100 : high(id))) },
    span: { start: 1, end: length - 1 },
  }[task];
  return { sequence: { inputIds }, labels };
}

/** `count` examples, shuffled anew for each epoch. */
export function tinyData(count: number, task: Task = "label", seed = 1): TrainingData {
  const random = uniforms(seed);
  const examples = Array.from({ length: count }, () => exampleOf(random, task));
  return {
    fingerprint: `${task} ${count} ${seed}`,
    *epoch(epoch) {
      const next = uniforms(100 + epoch);
      const order = examples.map((example) => [next(), example] as const).sort(([a], [b]) => a - b);
      for (const [, example] of order) yield example;
    },
  };
}

export async function filesOf(files: AsyncIterable<StoredFile>): Promise<Record<string, Uint8Array>> {
  const all: Record<string, Uint8Array> = {};
  for await (const { path, bytes } of files) {
    const slices: Uint8Array[] = [];
    for await (const slice of bytes) slices.push(slice.slice());
    all[path] = new Uint8Array(Buffer.concat(slices));
  }
  return all;
}

export async function textIn(store: Store, folder: string, path: string): Promise<string> {
  const source = await (await store.open(folder))!.open(path);
  return new TextDecoder().decode(await source!.read(0, source!.size));
}

/** Trains until so many steps are told. @returns their losses */
export async function runTo(trainer: Trainer, at: number): Promise<number[]> {
  const controller = new AbortController();
  const losses: number[] = [];
  for await (const event of trainer.run({ signal: controller.signal })) {
    if (event.kind !== "step") continue;
    losses.push(event.loss);
    if (trainer.step >= at) controller.abort();
  }
  return losses;
}

/**
 * The files of the last checkpoint of a run, and of one that is ended after two steps and gone on with.
 * @param store of the second
 */
export async function wholeAndResumed(
  make: (parts: TrainerParts) => Promise<Trainer>,
  store: Store,
): Promise<[Record<string, Uint8Array>, Record<string, Uint8Array>]> {
  const ended = async (trainer: Trainer): Promise<Record<string, Uint8Array>> => {
    await runTo(trainer, trainer.totalSteps);
    const files = await filesOf(trainer.snapshot());
    trainer.dispose();
    return files;
  };
  const whole = await ended(await make({}));
  const first = await make({ store });
  await runTo(first, 2);
  await first.save();
  first.dispose();
  const second = await make({ store });
  await second.restore();
  return [whole, await ended(second)];
}
