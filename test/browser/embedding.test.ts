/** The published bundle in a page with a strict policy: the parts of the contract that only a browser can break. */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, CDPSession, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Site, STRICT_POLICY, serveSite } from "../../examples/serve.ts";
import { loadPretrained } from "../../src/bert/tasks/pretrained.ts";
import { classifyText } from "../../src/bert/tasks/text_classification.ts";
import type * as BertWebGpu from "../../src/index.ts";
import { openFolder } from "../../src/node/folder.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { testDevice } from "../device.ts";
import { findChromium, launchChromium, openPage } from "./chromium.ts";

const ROOT = join(import.meta.dirname, "../..");
const TEXTS = ["a gorgeous , witty , seductive movie .", "dull , lifeless and far too long .", "fine"];
const chromium = await findChromium();
const unable =
  "missing" in chromium
    ? chromium.missing
    : existsSync(join(ROOT, "dist/index.min.js"))
      ? undefined
      : "needs `node build.mjs`";

declare global {
  /** What page/expose.js sets. */
  var bertWebGpu: typeof BertWebGpu;
  var classify: (texts: readonly string[]) => Promise<BertWebGpu.Classification[][]>;
  var engine: Engine;
}

describe.skipIf(unable)(`in Chromium${unable ? ` (${unable})` : ""}`, () => {
  let site: Site;
  let browser: Browser;
  let page: Page;
  let errors: string[];
  beforeAll(async () => {
    const folders = { dist: join(ROOT, "dist"), page: join(import.meta.dirname, "page") };
    site = await serveSite({ folders });
    browser = await launchChromium("path" in chromium ? chromium.path : "");
    ({ page, errors } = await openPage(browser, `${site.url}/index.html`));
    await page.addScriptTag({ url: "/page/expose.js", type: "module" });
    await page.evaluate(
      async (files) => {
        const { Engine, httpFolder, loadPretrained, classifyText } = globalThis.bertWebGpu;
        globalThis.engine = await Engine.create();
        const bert = await loadPretrained(globalThis.engine, httpFolder("/weights/movie-bert", { files }));
        globalThis.classify = (texts) => classifyText(bert, texts, { topK: null });
      },
      readdirSync(join(ROOT, "weights/movie-bert")),
    );
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  it("runs under default-src 'self', where eval, inline scripts and WebAssembly are refused", async () => {
    const response = await fetch(`${site.url}/index.html`);
    expect(response.headers.get("content-security-policy")).toBe(STRICT_POLICY);
    const refused = await page.evaluate(async () => {
      await new Promise((done) => setTimeout(done)); // playwright's own evaluation is exempt, a timer's is not
      const breaks = (work: () => unknown): boolean => {
        try {
          work();
          return false;
        } catch {
          return true;
        }
      };
      const empty = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
      return [breaks(() => new Function("return 1")()), breaks(() => new WebAssembly.Module(empty))];
    });
    expect(refused).toEqual([true, true]);
    errors.splice(0); // the two breaches above
  });

  it("gives the answers of Node", async () => {
    const engine = await Engine.create(await testDevice());
    const bert = await loadPretrained(engine, openFolder(join(ROOT, "weights/movie-bert")));
    const expected = await classifyText(bert, TEXTS, { topK: null });
    const actual = await page.evaluate((texts) => globalThis.classify(texts), TEXTS);
    for (const [i, labels] of expected.entries()) {
      expect(actual[i]!.map(({ label }) => label)).toEqual(labels.map(({ label }) => label));
      for (const [j, { score }] of labels.entries()) expect(Math.abs(actual[i]![j]!.score - score)).toBeLessThan(1e-4);
    }
    expect(errors).toEqual([]);
  });

  it("gets another device and loads again after a loss", async () => {
    const { scores, generation } = await page.evaluate(async (texts) => {
      const { classify, engine } = globalThis;
      const before = await classify(texts);
      engine.device.destroy();
      await engine.device.lost;
      const after = await classify(texts);
      return { scores: [before, after], generation: engine.generation };
    }, TEXTS);
    expect(generation).toBe(1);
    expect(scores[1]).toEqual(scores[0]);
    expect(errors).toEqual([]);
  });

  it("grows by nothing over 500 inferences: GPU buffers, their bytes, the JavaScript heap", async () => {
    const session = await page.context().newCDPSession(page);
    const run = (count: number): Promise<BertWebGpu.MemoryUse> =>
      page.evaluate(
        async ({ count, texts }) => {
          for (let i = 0; i < count; i++) await globalThis.classify(texts);
          return globalThis.engine.memoryUse;
        },
        { count, texts: TEXTS.slice(0, 1) },
      );
    const before = { use: await run(500), heap: await heapOf(session) }; // all is compiled by then
    const after = { use: await run(500), heap: await heapOf(session) };
    expect(after.use).toEqual(before.use);
    expect(after.heap - before.heap).toBeLessThan(200_000); // bytes; 400 for each inference would be as much
    expect(errors).toEqual([]);
  });

  it("says what to do where there is no WebGPU", async () => {
    const { page, errors } = await openPage(browser, `${site.url}/index.html`);
    await page.addScriptTag({ url: "/page/expose.js", type: "module" });
    const said = await page.evaluate(async () => {
      Object.defineProperty(navigator, "gpu", { value: undefined });
      return globalThis.bertWebGpu.Engine.create().then(String, ({ name, message }: Error) => `${name}: ${message}`);
    });
    expect(said).toMatch(/^NoWebGpuError: this environment has no WebGPU .* use a browser with WebGPU/);
    expect(errors).toEqual([]);
  });
});

/** Bytes in use after collecting garbage. */
async function heapOf(session: CDPSession): Promise<number> {
  await session.send("HeapProfiler.collectGarbage");
  return (await session.send("Runtime.getHeapUsage")).usedSize;
}
