/** The small examples, in Chromium: what they show against the same task in Node, and that they keep to their policy. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeSentences } from "../../examples/sentences.ts";
import { type Site, STRICT_POLICY, serveSite } from "../../examples/serve.ts";
import { classifyText, dot, Engine, embedText, loadPretrained, type Pretrained } from "../../src/index.ts";
import { openFolder } from "../../src/node/folder.ts";
import { testDevice } from "../device.ts";
import { findChromium, launchChromium, openPage } from "./chromium.ts";

const ROOT = join(import.meta.dirname, "../..");
const PAGES = join(ROOT, "dist/examples");
/** Few enough for a GPU that the CPU plays. */
const COUNT = 240;

const chromium = await findChromium();
const reason =
  "missing" in chromium
    ? chromium.missing
    : existsSync(PAGES)
      ? undefined
      : "dist/examples is not built: npm run build";

describe.skipIf(reason)(`examples${reason ? ` (skipped: ${reason})` : ""}`, () => {
  const sentences = makeSentences(COUNT);
  const texts = sentences.map(({ text }) => text);
  let site: Site;
  let browser: Browser;
  let bert: Pretrained;
  let vectors: Float32Array[];
  beforeAll(async () => {
    site = await serveSite();
    browser = await launchChromium("path" in chromium ? chromium.path : "");
    const engine = await Engine.create(await testDevice());
    bert = await loadPretrained(engine, openFolder(join(ROOT, "weights/movie-bert")));
    vectors = await embedText(bert, texts);
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  test.each(["", "vanilla/", "worker/", "shared-device/"])(
    "/%s comes with the strict policy and keeps to it",
    async (path) => {
      const response = await fetch(`${site.url}/${path}`);
      expect([response.status, response.headers.get("content-security-policy")]).toEqual([200, STRICT_POLICY]);
      const html = await response.text();
      expect(html).not.toMatch(/<script(?![^>]*src=)|\son\w+=|\sstyle=|<style/);
      for (const name of ["main.js", "worker.js"]) {
        const file = join(PAGES, path, name);
        if (path && existsSync(file))
          expect(readFileSync(file, "utf8")).not.toMatch(/WebAssembly|\beval\(|new Function\b/);
      }
    },
  );

  test("the front page links all four", async () => {
    const { page, errors } = await openPage(browser, `${site.url}/`);
    const links = await page.locator("a").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
    expect(links).toEqual(["playground/", "vanilla/", "worker/", "shared-device/"]);
    for (const link of links) expect((await fetch(`${site.url}/${link}`)).status).toBe(200);
    expect(errors).toEqual([]);
    await page.close();
  });

  describe("vanilla", () => {
    test("shows what Node computes, and of many texts at once only the last", async () => {
      const { page, errors } = await openPage(browser, `${site.url}/vanilla/`);
      const answer = page.locator("#label[data-score]");
      await answer.waitFor();
      const shown = await page.evaluateHandle(() => {
        const seen: (string | undefined)[] = [];
        const label = document.querySelector<HTMLElement>("#label")!;
        new MutationObserver(() => seen.push(label.dataset.text)).observe(label, { attributeFilter: ["data-text"] });
        return seen;
      });
      const reviews = ["Dull.", "Dull and lifeless", "Dull, lifeless and much too long: I wanted my money back."];
      await page.evaluate((reviews) => {
        const text = document.querySelector<HTMLTextAreaElement>("#text")!;
        for (const review of reviews) {
          text.value = review;
          text.dispatchEvent(new InputEvent("input"));
        }
      }, reviews);
      const last = reviews.at(-1)!;
      await page.waitForFunction((last) => document.querySelector<HTMLElement>("#label")!.dataset.text === last, last);
      expect(await shown.jsonValue()).toEqual([last]);
      const [labels] = await classifyText(bert, [last], { topK: null });
      expect(await answer.getAttribute("data-label")).toBe(labels![0]!.label);
      expect(Number(await answer.getAttribute("data-score"))).toBeCloseTo(labels![0]!.score, 4);
      const positive = labels!.find(({ label }) => label === "POSITIVE")!.score;
      expect(await page.locator("#meter").evaluate((meter: HTMLMeterElement) => meter.value)).toBeCloseTo(positive, 4);
      expect(await page.locator("#status").innerText()).toMatch(/^[\d.]+ ms$/);
      expect(errors).toEqual([]);
      await page.close();
    });
  });

  test.each(["vanilla", "shared-device"])("%s says so where there is no WebGPU", async (name) => {
    const { page, errors } = await openPage(browser, "about:blank");
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
    await page.goto(`${site.url}/${name}/`);
    await page.locator("#problem:not(:empty)").waitFor();
    expect(await page.getByRole("alert").innerText()).toMatch(/this page needs WebGPU/i);
    expect(errors).toEqual([]);
    await page.close();
  });

  describe("worker", () => {
    let page: Page;
    let errors: string[];
    beforeAll(async () => {
      ({ page, errors } = await openPage(browser, `${site.url}/worker/?sentences=${COUNT}`));
    });
    afterAll(() => page.close());

    const shown = (): Promise<{ text: string; score: number }[]> =>
      page.locator("#results li").evaluateAll((lines) =>
        lines.map((line) => ({
          text: line.firstChild!.textContent!,
          score: Number(line.querySelector("data")!.value),
        })),
      );

    test("works in a worker, and can be searched before all is embedded", async () => {
      const handle = await page.waitForFunction(() => {
        const done = document.querySelector<HTMLElement>("#progress")!.dataset.done;
        return document.querySelectorAll("#results li").length === 10 && done;
      });
      expect(Number(await handle.jsonValue())).toBeLessThan(COUNT);
      expect(page.workers().map((worker) => new URL(worker.url()).pathname)).toEqual(["/worker/worker.js"]);
    });

    test("finds what Node finds, with the same scores", async () => {
      await page.waitForFunction(
        (count) => document.querySelector<HTMLElement>("#progress")!.dataset.done === String(count),
        COUNT,
      );
      const query = "laughing all the way through";
      await page.locator("#query").fill("something");
      await page.locator("#query").fill(query);
      await page.locator(`#results[data-query="${query}"]`).waitFor();
      const [vector] = await embedText(bert, [query]);
      const scores = vectors.map((other) => dot(vector!, other));
      const best = [...scores].sort((a, b) => b - a);
      const results = await shown();
      expect(results).toHaveLength(10);
      for (const [rank, { text, score }] of results.entries()) {
        expect(score).toBeCloseTo(best[rank]!, 4);
        expect(score).toBeCloseTo(scores[texts.indexOf(text)]!, 4);
      }
      expect(new Set(results.map(({ text }) => text)).size).toBe(10);
    });

    test("takes sentences of a file", async () => {
      const lines = ["The sea was calm.", "A tale of two cooks.", "Nobody laughed."];
      await page.locator("#file").setInputFiles({
        name: "lines.txt",
        mimeType: "text/plain",
        buffer: Buffer.from(`${lines.join("\r\n")}\r\n\r\n`),
      });
      await page.waitForFunction(() => document.querySelectorAll("#results li").length === 3);
      expect((await shown()).map(({ text }) => text).sort()).toEqual([...lines].sort());
      expect(await page.locator("#problem").innerText()).toBe("");
      expect(errors).toEqual([]);
    });
  });

  describe("shared-device", () => {
    let page: Page;
    let errors: string[];
    let points: { text: string; position: [number, number]; left: number; top: number }[];
    beforeAll(async () => {
      ({ page, errors } = await openPage(browser, "about:blank", { viewport: { width: 1000, height: 1000 } }));
      // the test's own view of the device; the page has no globals
      await page.addInitScript(() => {
        const devices: GPUDevice[] = [];
        Object.assign(globalThis, { devices, lost: [] });
        const { requestDevice } = GPUAdapter.prototype;
        GPUAdapter.prototype.requestDevice = async function (descriptor) {
          const device = await requestDevice.call(this, descriptor);
          devices.push(device);
          device.lost.then(({ message }) => lost.push(message));
          return device;
        };
      });
      await page.goto(`${site.url}/shared-device/?sentences=${COUNT}`);
      await page.locator("canvas[data-points], #problem:not(:empty)").first().waitFor();
      // all points from left to right, as the arrow keys go
      points = await page.locator("canvas").evaluate((canvas) => {
        const tip = document.querySelector<HTMLElement>("#tip")!;
        return Array.from({ length: Number(canvas.dataset.points) }, () => {
          canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
          const [x, y] = tip.dataset.position!.split(" ").map(Number);
          const { left, top } = tip.style;
          return {
            text: tip.textContent!,
            position: [x!, y!] as [number, number],
            left: Number.parseFloat(left),
            top: Number.parseFloat(top),
          };
        });
      });
    });
    afterAll(() => page.close());

    test("draws every sentence, on one device", async () => {
      expect(await page.locator("#problem").innerText()).toBe("");
      expect(points.map(({ text }) => text).sort()).toEqual([...texts].sort());
      expect(await page.evaluate(() => devices.length)).toBe(1);
    });

    test("places them where principal components computed in float64 are, up to the sign of an axis", () => {
      const expected = principalPositions(vectors);
      for (const axis of [0, 1] as const) {
        const at = points.map(({ text, position }) => [position[axis], expected[texts.indexOf(text)]![axis]!] as const);
        const sign = Math.sign(at.reduce((sum, [a, b]) => sum + a * b, 0));
        const largest = Math.max(...at.map(([, b]) => Math.abs(b)));
        const error = Math.max(...at.map(([a, b]) => Math.abs(sign * a - b))) / largest;
        expect(error).toBeLessThan(1e-4);
      }
    });

    test("hovering a point shows its sentence, leaving hides it", async () => {
      const box = (await page.locator("canvas").boundingBox())!;
      for (const { text, left, top } of loneliest(points, 3)) {
        await page.mouse.move(box.x + left + 1, box.y + top + 1);
        expect(await page.locator("#tip:visible").innerText()).toBe(text);
        await page.mouse.move(box.x - 20, box.y);
        expect(await page.locator("#tip").isVisible()).toBe(false);
      }
    });

    test("shows discs in the colours of the legend, on the screen", async () => {
      await page.mouse.move(0, 0);
      await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
      const png = await page.locator("canvas").screenshot();
      const lonely = loneliest(points, 20);
      const seen = await pixels(browser, png, lonely);
      for (const [i, { text }] of lonely.entries()) {
        const { sentiment } = sentences[texts.indexOf(text)]!;
        const [red, , blue] = seen[i]!;
        expect(Math.sign(red! - blue!), `${sentiment} ${seen[i]}`).toBe(sentiment === "positive" ? -1 : 1);
      }
    });

    test("after the engine's end the device lives, and the app's own handler hears its errors", async () => {
      expect(await page.evaluate(() => [lost.length, document.querySelector("#problem")!.textContent])).toEqual([
        0,
        "",
      ]);
      await page.locator("#colouring").selectOption("topic");
      expect(await page.locator("#legend li").allInnerTexts()).toEqual(
        [...new Set(sentences.map(({ topic }) => topic))].sort(),
      );
      await page.evaluate(async () => {
        devices[0]!.createBuffer({ size: 4, usage: 0 });
        await devices[0]!.queue.onSubmittedWorkDone(); // errors are told when the GPU is next heard of
      });
      await page.locator("#problem:not(:empty)").waitFor();
      expect(await page.evaluate(() => lost.length)).toBe(0);
      expect(errors).toEqual([]);
    });
  });
});

declare global {
  /** Of a page: devices that it asked for. */
  var devices: GPUDevice[];
  /** Of a page: how they were lost. */
  var lost: string[];
}

/** The points farthest from their neighbours. */
function loneliest<P extends { left: number; top: number }>(points: readonly P[], count: number): P[] {
  const room = (point: P): number =>
    Math.min(...points.filter((p) => p !== point).map((p) => Math.hypot(p.left - point.left, p.top - point.top)));
  return points
    .map((point) => ({ point, room: room(point) }))
    .sort((a, b) => b.room - a.room)
    .slice(0, count)
    .map(({ point }) => point);
}

/** Red, green and blue of an image at places given in its pixels. */
async function pixels(browser: Browser, png: Buffer, places: { left: number; top: number }[]): Promise<number[][]> {
  const page = await browser.newPage();
  const colours = await page.evaluate(
    async ({ png, places }) => {
      const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes]));
      const context = new OffscreenCanvas(image.width, image.height).getContext("2d")!;
      context.drawImage(image, 0, 0);
      return places.map(({ left, top }) => [...context.getImageData(left, top, 1, 1).data.slice(0, 3)]);
    },
    { png: png.toString("base64"), places },
  );
  await page.close();
  return colours;
}

/** Projections onto the two eigenvectors of the covariance matrix with the largest eigenvalues, in float64. */
function principalPositions(vectors: readonly Float32Array[]): number[][] {
  const d = vectors[0]!.length;
  const mean = Array.from({ length: d }, (_, j) => vectors.reduce((sum, v) => sum + v[j]!, 0) / vectors.length);
  const rows = vectors.map((v) => Array.from(v, (x, j) => x - mean[j]!));
  const covariance = Array.from({ length: d }, (_, i) =>
    Array.from({ length: d }, (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
  );
  const axes: number[][] = [];
  for (let k = 0; k < 2; k++) {
    let axis = Array.from({ length: d }, (_, i) => Math.sin(i + 1));
    for (let residual = 1, tries = 0; residual > 1e-10; tries++) {
      if (tries > 10_000) throw new Error(`axis ${k}: residual ${residual} after ${tries} iterations`);
      const next = covariance.map((row) => dot(row, axis));
      for (const other of axes) {
        const along = dot(next, other);
        for (let i = 0; i < d; i++) next[i]! -= along * other[i]!;
      }
      const length = Math.sqrt(dot(next, next));
      const unit = next.map((x) => x / length);
      residual = Math.max(...unit.map((x, i) => Math.abs(x - axis[i]!)));
      axis = unit;
    }
    axes.push(axis);
  }
  return rows.map((row) => axes.map((axis) => dot(row, axis)));
}
