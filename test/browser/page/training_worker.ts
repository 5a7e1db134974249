/** Trains in a module worker, with what the package has, and keeps checkpoints in the browser's own storage. */

import { Engine, httpFolder } from "bert-webgpu";
import { opfsStore, type StoredFile, Trainer, type TrainerOptions, type TrainingData } from "bert-webgpu/train";
import { trainClassifier } from "example-of-the-documents";

/** To the worker: the first says what is to be done. */
export type Request =
  | { readonly kind: "example"; readonly files: readonly string[] }
  | { readonly kind: "train"; readonly store: string; readonly files: readonly string[]; readonly stop?: boolean }
  | { readonly kind: "store"; readonly store: string }
  | { readonly kind: "write"; readonly store: string; readonly from: number }
  | { readonly kind: "read"; readonly store: string }
  | { readonly kind: "abort" };

const controller = new AbortController();

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  if (data.kind === "abort") return controller.abort();
  work(data).then(
    (result) => postMessage({ kind: "done", result }),
    (error) => postMessage({ kind: "failed", message: error.stack }),
  );
});

const directory = async (name: string): Promise<FileSystemDirectoryHandle> =>
  (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });

async function work(request: Exclude<Request, { kind: "abort" }>): Promise<object> {
  switch (request.kind) {
    case "example": {
      const engine = await Engine.create();
      const files = await trainClassifier(engine, httpFolder("/models/tiny", { files: request.files }));
      return Object.fromEntries([...files].map(([path, slices]) => [path, slices.reduce((n, s) => n + s.length, 0)]));
    }
    case "train":
      return train(await directory(request.store), request.files);
    case "store":
      return storeFacts(await directory(request.store));
    case "write":
      return write(await directory(request.store), request.from);
    case "read":
      return read(await directory(request.store));
  }
}

const OPTIONS: TrainerOptions = {
  ...{ objectives: ["label"], labels: ["bad", "good"], learningRate: 1e-3, seed: 3, loggingSteps: 1 },
  ...{ maxSteps: 24, batchSize: 4, gradientAccumulation: 2, dropout: { hidden: 0.2, attention: 0.1, classifier: 0.1 } },
};

const DATA: TrainingData = {
  *epoch(epoch) {
    for (let i = 0; i < 52; i++) {
      const label = (i * 7 + epoch) % 2;
      yield { sequence: { inputIds: [1 + label, 5 + (i % 40), 6 + (i % 9)] }, labels: { label } };
    }
  },
};

/** Goes on from the store's last checkpoint, to the end or until it is told to stop; then it leaves a checkpoint. */
async function train(place: FileSystemDirectoryHandle, files: readonly string[]): Promise<object> {
  const engine = await Engine.create();
  const store = opfsStore(place);
  const trainer = await Trainer.create(engine, httpFolder("/models/tiny", { files }), DATA, OPTIONS, { store });
  const from = await trainer.restore();
  for await (const event of trainer.run({ signal: controller.signal })) postMessage(event);
  const { step, finished } = trainer;
  if (!finished) await trainer.save();
  const hashes: Record<string, string> = {};
  for await (const { path, bytes } of trainer.snapshot()) hashes[path] = await hashOf(bytes);
  trainer.dispose();
  engine.dispose();
  return { from, step, finished, hashes, folders: await store.list() };
}

async function hashOf(bytes: StoredFile["bytes"]): Promise<string> {
  const slices: BlobPart[] = [];
  for await (const slice of bytes) slices.push(slice.slice());
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(slices).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function* filesOf(contents: Readonly<Record<string, string>>): AsyncGenerator<StoredFile> {
  for (const [path, text] of Object.entries(contents)) {
    yield { path, bytes: [new TextEncoder().encode(text), new TextEncoder().encode("!")] };
  }
}

/** What the store says while folders are written, replaced, refused and removed. */
async function storeFacts(place: FileSystemDirectoryHandle): Promise<object> {
  const store = opfsStore(place);
  const listed = async (): Promise<string[]> => [...(await store.list())].sort();
  const textIn = async (folder: string, path: string): Promise<string | undefined> => {
    const source = await (await store.open(folder))?.open(path);
    return source && new TextDecoder().decode(await source.read(0, source.size));
  };
  const failing = async function* (): AsyncGenerator<StoredFile> {
    yield* filesOf({ a: "other" });
    throw new Error("the device is lost");
  };
  const refused = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => "not refused",
      (error: Error) => error.message,
    );
  const begun = await listed();
  await store.write("checkpoint-1", filesOf({ a: "one", "b c": "two", empty: "" }));
  await store.write("checkpoint-2", filesOf({ a: "three" }));
  const written = [await listed(), await textIn("checkpoint-1", "a"), await textIn("checkpoint-1", "b c")];
  const unknown = [await textIn("checkpoint-1", "c"), await textIn("checkpoint-9", "a")].map(String);
  await store.write("checkpoint-1", filesOf({ c: "four" }));
  const replaced = [await textIn("checkpoint-1", "a"), await textIn("checkpoint-1", "c")].map(String);
  const failures = [
    await refused(store.write("checkpoint-1", failing())),
    await refused(store.write("checkpoint-3", failing())),
    await refused(store.write("../checkpoint-4", filesOf({ a: "one" }))),
  ];
  await place.getFileHandle("checkpoint-5.folder", { create: true }); // as a page leaves it that is closed then
  const afterwards = [await listed(), await textIn("checkpoint-1", "c")];
  await store.remove("checkpoint-1");
  await store.remove("checkpoint-9");
  const removed = await listed();
  return { name: store.name, begun, written, unknown, replaced, failures, afterwards, removed };
}

const BYTES = 1 << 20;

/** Writes folders, each of one number, until the worker is ended. */
async function write(place: FileSystemDirectoryHandle, from: number): Promise<never> {
  const store = opfsStore(place);
  for (let number = from; ; number++) {
    const bytes = new Uint8Array(BYTES).fill(number);
    for (const folder of ["last", `checkpoint-${number}`]) {
      await store.write(
        folder,
        (async function* () {
          for (const path of ["a", "b"]) yield { path, bytes: [bytes.subarray(0, 1000), bytes.subarray(1000)] };
        })(),
      );
    }
    postMessage({ kind: "written", number });
  }
}

/** The number that each folder is of, and -1 for one that is not of one number alone. */
async function read(place: FileSystemDirectoryHandle): Promise<object> {
  const store = opfsStore(place);
  const numbers: Record<string, number> = {};
  for (const name of await store.list()) {
    const folder = (await store.open(name))!;
    const found = new Set<number>();
    for (const path of ["a", "b"]) {
      const source = (await folder.open(path))!;
      if (source.size !== BYTES) found.add(-1);
      for (const byte of await source.read(0, source.size)) found.add(byte);
    }
    numbers[name] = found.size === 1 ? [...found][0]! : -1;
  }
  return { numbers };
}
