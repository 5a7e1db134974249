/** Training in a module worker of a page, as the package is used there, and its checkpoints in the browser's storage. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Site, STRICT_POLICY, serveSite } from "../../examples/serve.ts";
import type { TrainerEvent } from "../../src/train/index.ts";
import { tinyModel } from "../bert/tiny.ts";
import { findChromium, launchChromium, openPage } from "./chromium.ts";
import type { Request } from "./page/training_worker.ts";

const ROOT = join(import.meta.dirname, "../..");
const chromium = await findChromium();
const unable =
  "missing" in chromium
    ? chromium.missing
    : existsSync(join(ROOT, "dist/train.js"))
      ? undefined
      : "needs `node build.mjs`";

interface Trained {
  readonly from?: string;
  readonly step: number;
  readonly finished: boolean;
  /** SHA-256 of each file of a checkpoint. */
  readonly hashes: Readonly<Record<string, string>>;
  readonly folders: readonly string[];
}

declare global {
  /** What page/training.js sets. */
  var inWorker: <Result>(
    request: Request,
    answer?: (event: { readonly kind: string } & Record<string, unknown>) => Request | undefined,
  ) => Promise<
    Result & { readonly events: readonly TrainerEvent[]; readonly went: Record<"timers" | "frames", number> }
  >;
}

/** The worker as an app's bundler makes it: of the package's files, and of the example in the documents. */
async function bundleWorker(folder: string): Promise<void> {
  const example = /^```ts\n(.*?)^```/ms.exec(readFileSync(join(ROOT, "docs/training.md"), "utf8"))![1]!;
  const documents: Plugin = {
    name: "documents",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^example-of-the-documents$/ }, ({ path }) => ({ path, namespace: "documents" }));
      onLoad({ filter: /./, namespace: "documents" }, () => ({ contents: example, loader: "ts", resolveDir: ROOT }));
    },
  };
  await build({
    ...{ entryPoints: [join(import.meta.dirname, "page/training_worker.ts")], outdir: folder, bundle: true },
    ...{ format: "esm", target: "es2022", plugins: [documents], tsconfigRaw: "{}" },
    alias: { "bert-webgpu/train": join(ROOT, "dist/train.js"), "bert-webgpu": join(ROOT, "dist/index.js") },
  });
}

describe.skipIf(unable)(`in a worker of Chromium${unable ? ` (${unable})` : ""}`, () => {
  const files = ["config.json", "model.safetensors", "vocab.txt"];
  let folder: string;
  let site: Site;
  let browser: Browser;
  let page: Page;
  let errors: string[];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "bert-webgpu-browser-"));
    await bundleWorker(folder);
    const tiny = tinyModel();
    for (const name of ["config.json", "model.safetensors"]) {
      const source = (await tiny.open(name))!;
      writeFileSync(join(folder, name), await source.read(0, source.size));
    }
    writeFileSync(join(folder, "vocab.txt"), "[PAD]\n[UNK]\n");
    const folders = { training: folder, "models/tiny": folder, page: join(import.meta.dirname, "page") };
    site = await serveSite({ folders });
    browser = await launchChromium("path" in chromium ? chromium.path : "");
    ({ page, errors } = await openPage(browser, `${site.url}/index.html`));
    await page.addScriptTag({ url: "/page/training.js", type: "module" });
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    rmSync(folder, { recursive: true });
  });

  const train = (store: string, stopAt = 0): Promise<Trained & Awaited<ReturnType<typeof globalThis.inWorker>>> =>
    page.evaluate(
      ({ request, stopAt }) =>
        globalThis.inWorker<Trained>(request, ({ kind, step }) =>
          kind === "step" && step === stopAt ? { kind: "abort" } : undefined,
        ),
      { request: { kind: "train", store, files } as const, stopAt },
    );

  it("the example of the documents trains and gives the files of a model, under a strict policy", async () => {
    expect((await fetch(`${site.url}/training/training_worker.js`)).headers.get("content-security-policy")).toBe(
      STRICT_POLICY,
    );
    const { "model.safetensors": bytes, ...result } = await page.evaluate(
      (files) => globalThis.inWorker<Record<string, number>>({ kind: "example", files }),
      files,
    );
    expect(Object.keys(result).sort()).toEqual(["config.json", "events", "vocab.txt", "went"]);
    expect(bytes).toBeGreaterThan(10_000);
    expect(errors.splice(0)).toEqual([]);
  });

  it("a run that is stopped is gone on with in another worker, to the bytes of one that was not; the page goes on", async () => {
    const whole = await train("whole");
    expect(whole).toMatchObject({ step: 24, finished: true });
    expect(Object.keys(whole.hashes).sort()).toEqual([...files, "optimizer.safetensors", "trainer_state.json"].sort());
    const steps = whole.events.filter((event) => event.kind === "step");
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
    expect(whole.went.timers).toBeGreaterThan(5);
    expect(whole.went.frames).toBeGreaterThan(2);
    const stopped = await train("pieces", 6);
    expect(stopped.finished).toBe(false);
    expect(stopped.step).toBeGreaterThanOrEqual(6);
    expect(stopped.folders).toEqual([`checkpoint-${stopped.step}`]);
    const resumed = await train("pieces");
    expect(resumed).toMatchObject({ from: `checkpoint-${stopped.step}`, step: 24, finished: true });
    expect(resumed.events.find((event) => event.kind === "step")?.step).toBe(stopped.step + 1);
    expect(resumed.hashes).toEqual(whole.hashes);
    expect(errors.splice(0)).toEqual([]);
  });

  it("a store keeps folders in the browser's storage, whole", async () => {
    const {
      events: _,
      went: __,
      ...facts
    } = await page.evaluate(() => globalThis.inWorker<object>({ kind: "store", store: "facts" }));
    expect(facts).toEqual({
      name: "facts",
      begun: [],
      written: [["checkpoint-1", "checkpoint-2"], "one!", "two!"],
      unknown: ["undefined", "undefined"],
      replaced: ["undefined", "four!"],
      failures: [
        "the device is lost",
        "the device is lost",
        expect.stringMatching(/^facts\/\.\.\/checkpoint-4: it cannot be written \(TypeError\): .*not allowed/),
      ],
      afterwards: [["checkpoint-1", "checkpoint-2"], "four!"],
      removed: ["checkpoint-2"],
    });
    expect(errors.splice(0)).toEqual([]);
  });

  it("what it lists is whole and not older than what was told, when a worker is ended while it writes", async () => {
    let told = 0;
    for (let round = 0; round < 6; round++) {
      const { numbers } = await page.evaluate(
        async ({ from, delay }) => {
          await new Promise<void>((resolve) => {
            const worker = new Worker("/training/training_worker.js", { type: "module" });
            worker.addEventListener(
              "message",
              () => {
                setTimeout(() => {
                  worker.terminate();
                  resolve();
                }, delay);
              },
              { once: true },
            );
            worker.postMessage({ kind: "write", store: "ended", from });
          });
          return globalThis.inWorker<{ numbers: Record<string, number> }>({ kind: "read", store: "ended" });
        },
        { from: told + 1, delay: round * 15 },
      );
      for (const [name, number] of Object.entries(numbers)) {
        if (name !== "last") expect(number).toBe(Number(name.slice("checkpoint-".length)));
      }
      expect(numbers.last).toBeGreaterThan(told);
      told = numbers.last!;
    }
    expect(errors.splice(0)).toEqual([]);
  });
});
