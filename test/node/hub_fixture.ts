/** A hub for the tests of one file, and a cache for each of them. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import type { Folder } from "../../src/files/bytes.ts";
import { type ResolveOptions, resolveModel } from "../../src/node/hub/resolve.ts";
import { random } from "../support.ts";
import { type Files, startHub, type TestHub } from "./hub_server.ts";

export const CONFIG = '{"model_type":"bert","architectures":["BertForMaskedLM"]}';

export const noise = (length: number, seed: number): Uint8Array => {
  const next = random(seed);
  return Uint8Array.from({ length }, () => 256 * next());
};

export const WEIGHTS: Uint8Array = noise(300_000, 1);

export const FILES: Files = {
  "README.md": "not needed",
  "config.json": CONFIG,
  "model.safetensors": WEIGHTS,
  "onnx/model.onnx": "not needed",
  "pytorch_model.bin": noise(1000, 2),
  "tokenizer.json": '{"model":{}}',
  "tokenizer_config.json": "{}",
  "vocab.txt": "not needed beside tokenizer.json",
};

/** Those of FILES that a model needs. */
export const NEEDED: readonly string[] = [
  "config.json",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
];

export interface HubFixture {
  readonly hub: TestHub;
  /** Empty at the beginning of each test. */
  readonly cacheDir: string;
  /** Of this test. */
  readonly warnings: string[];
  /** A model of its own, so that tests cannot disturb each other. */
  fresh(files?: Files): { name: string; commit: string };
  /** From the test's hub to the test's cache, without a token. */
  resolve(spec: string, options?: ResolveOptions): Promise<Folder>;
  /** The model's folder in the cache. */
  repoDir(name: string): string;
}

export function useHub(): HubFixture {
  let hub: TestHub;
  let cacheDir: string;
  let count = 0;
  const warnings: string[] = [];
  beforeAll(async () => {
    hub = await startHub();
  });
  afterAll(() => hub.close());
  beforeEach(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), "hub-"));
    hub.fault = () => undefined;
    hub.seen.length = 0;
    warnings.length = 0;
  });
  afterEach(() => rm(cacheDir, { recursive: true, force: true }));
  return {
    get hub() {
      return hub;
    },
    get cacheDir() {
      return cacheDir;
    },
    warnings,
    fresh(files = FILES) {
      const name = `acme/model-${count++}`;
      return { name, commit: hub.commit(name, files) };
    },
    resolve(spec, options = {}) {
      const onWarning = (message: string): number => warnings.push(message);
      const usual = { endpoint: hub.endpoint, cacheDir, token: "", offline: false, retry: { delay: 20 }, onWarning };
      return resolveModel(spec, { ...usual, ...options });
    },
    repoDir: (name) => join(cacheDir, `models--${name.replace("/", "--")}`),
  };
}

export async function wholeFile(folder: Folder, path: string): Promise<Uint8Array | undefined> {
  const source = await folder.open(path);
  const bytes = await source?.read(0, source.size);
  await source?.close();
  return bytes;
}
