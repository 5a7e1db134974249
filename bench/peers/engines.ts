/** The engines that are compared, and the files beside this one that run them. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { PeerRow } from "../rows.ts";

export interface PeerEngine {
  /** As in the reports. */
  readonly name: string;
  readonly kind: PeerRow["kind"];
  /** In `engines`. */
  readonly script: string;
  /** What the script tells its library to compute with. */
  readonly provider: string;
  /** That runs the script; Node when not given. */
  readonly program?: string;
  /** Of a training step: which weights are no part of it, so that only its first loss is that of the others. */
  readonly frozen?: string;
}

export const OURS: PeerEngine = { name: "bert-webgpu", kind: "webgpu", script: "ours.mjs", provider: "webgpu" };

export const PEERS: readonly PeerEngine[] = [
  { name: "onnxruntime-node webgpu", kind: "webgpu", script: "ort_node.mjs", provider: "webgpu" },
  { name: "transformers.js webgpu", kind: "webgpu", script: "transformers.mjs", provider: "webgpu" },
  { name: "jax-js webgpu", kind: "webgpu", script: "jax.mjs", provider: "webgpu" },
  { name: "tfjs webgpu", kind: "webgpu", script: "tfjs.mjs", provider: "webgpu" },
  { name: "onnxruntime-web webgpu", kind: "webgpu", script: "ort_web.mjs", provider: "webgpu" },
  { name: "onnxruntime-node cpu", kind: "cpu", script: "ort_node.mjs", provider: "cpu" },
  { name: "onnxruntime-web wasm", kind: "cpu", script: "ort_web.mjs", provider: "wasm" },
];

/** A training step on each. */
export const OUR_TRAINING: PeerEngine = { ...OURS, script: "train_ours.mjs" };

/** @param python an interpreter that has torch and transformers */
export function trainingPeers(python: string | undefined): readonly PeerEngine[] {
  const jax = { name: "jax-js webgpu", kind: "webgpu", script: "train_jax.mjs", provider: "webgpu" } as const;
  const torch = { name: "pytorch cpu", kind: "cpu", script: "train_torch.py", provider: "cpu" } as const;
  return [
    { ...jax, frozen: "embeddings" }, // its `take` has no gradient under `jit`
    { name: "tfjs webgpu", kind: "webgpu", script: "train_tfjs.mjs", provider: "webgpu" },
    ...(python === undefined ? [] : [{ ...torch, program: python }]),
  ];
}

/**
 * The peers whose names contain one of `words`, a blank or a dash between its parts: `jax`, `onnxruntime-node-cpu`.
 * @throws Error for a word that names none
 */
export function choosePeers(words: readonly string[], peers: readonly PeerEngine[] = PEERS): readonly PeerEngine[] {
  const plain = (text: string): string => text.toLowerCase().replaceAll(" ", "-");
  for (const word of words) {
    if (peers.some(({ name }) => plain(name).includes(plain(word)))) continue;
    throw new Error(`--peers: no peer is named "${word}"; there are ${peers.map(({ name }) => name).join(", ")}`);
  }
  return peers.filter(({ name }) => words.some((word) => plain(name).includes(plain(word))));
}

export interface PeerFiles {
  /** Holds package.json and the scripts. */
  readonly folder: string;
  /** The built engine of this repository. */
  readonly engine: string;
}

/** @throws Error where they are not, as in the npm package, or not built */
export function findPeerFiles(): PeerFiles {
  const here = import.meta.dirname; // bench/peers, or dist/node once bundled
  const folder = [here, join(here, "../../bench/peers")].find((place) => existsSync(join(place, "engines/serve.mjs")));
  if (!folder) {
    throw new Error(
      `bench peers needs the folder bench/peers of a checkout, which the npm package lacks; run it there`,
    );
  }
  const engine = join(folder, "../../dist/node/index.js");
  if (!existsSync(engine)) throw new Error(`${engine} is missing; build it with: node build.mjs`);
  return { folder, engine };
}
