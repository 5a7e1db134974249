/** The playground's "The machine" and "Bench" in Chromium: a forward taken apart as Node would, and a bench's export. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { comparisonText } from "../../bench/compare.ts";
import { pageOf } from "../../bench/html/report.ts";
import { parseRows } from "../../bench/report.ts";
import type { KernelRow } from "../../bench/rows.ts";
import { type Site, serveSite } from "../../examples/serve.ts";
import { Engine, loadPretrained } from "../../src/index.ts";
import { openFolder } from "../../src/node/folder.ts";
import { testDevice } from "../device.ts";
import { findChromium, launchChromium, openPage } from "./chromium.ts";

const ROOT = join(import.meta.dirname, "../..");
const TEXT = "a film of few words, and all the better for it";
const built = existsSync(join(ROOT, "dist/examples/playground/main.js"));
const chromium = await findChromium();
const why = "missing" in chromium ? ` (skipped: ${chromium.missing})` : built ? "" : " (skipped: run node build.mjs)";

describe.skipIf(why !== "")(`the playground${why}`, () => {
  let [site, browser] = [undefined as unknown as Site, undefined as unknown as Browser];
  beforeAll(async () => {
    site = await serveSite();
    browser = await launchChromium((chromium as { path: string }).path);
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  const open = (tab: string): ReturnType<typeof openPage> => openPage(browser, `${site.url}/playground/#${tab}`);

  describe("the machine", () => {
    test("shows every launch of a forward, those that Node records", async () => {
      const { page, errors } = await open("machine");
      await runForward(page, TEXT);
      const bars = await page.$$eval("#machine-timeline rect[data-label]", (rects) =>
        (rects as SVGElement[]).map(({ dataset }) => ({ label: dataset.label!, ms: Number(dataset.ms) })),
      );
      const expected = await launchesInNode(TEXT);
      expect(bars.map(({ label }) => withoutChoice(label))).toEqual(expected.labels.map(withoutChoice));
      expect(await numberIn(page, "dispatches")).toBe(bars.length);
      expect(await numberIn(page, "tokens")).toBe(expected.tokens);
      expect(await numberIn(page, "bytes")).toBe(expected.bytes);
      expect(await numberIn(page, "flops")).toBe(expected.flops);
      const gpu = await numberIn(page, "gpu");
      expect(gpu).toBeGreaterThan(0);
      expect(bars.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(gpu, 6);
      expect(await page.locator("#machine-table tbody tr").count()).toBe(new Set(bars.map(({ label }) => label)).size);
      expect(await page.locator("#machine-launches tbody tr").count()).toBe(bars.length);

      // one stop of the Tab key, arrows within
      expect(await page.locator("#machine-timeline [tabindex='0']").count()).toBe(1);
      await page.locator("#machine-timeline rect[data-label]").nth(3).focus();
      await page.keyboard.press("ArrowRight");
      expect(await page.textContent("#machine-launch")).toMatch(new RegExp(`^${bars[4]!.label} · .* MB`));

      await page.selectOption("#machine-batch", "8");
      await runForward(page, TEXT);
      expect(await numberIn(page, "tokens")).toBe(8 * expected.tokens);
      expect(errors).toEqual([]);
      await page.close();
    });

    test("tells of the adapter, and draws the roof once it is measured", async () => {
      const { page, errors } = await open("machine");
      expect(await page.getAttribute("[data-software]", "data-software")).toBe("true");
      expect(await page.getAttribute("[data-feature=timestamp-query]", "data-has")).toBe("true");
      await runForward(page, TEXT);
      await page.click("#machine-ceilings");
      await page.waitForFunction(() => /GFLOP\/s.*GB\/s/.test(document.getElementById("machine-roof")!.textContent!));
      await page.waitForSelector("#machine-roofline [aria-label=line] path");
      const memory = Number(await page.getAttribute("#machine-facts [data-bytes]", "data-bytes"));
      expect(memory).toBeGreaterThan(12e6); // the weights, and not the 64 MiB of a copy
      expect(memory).toBeLessThan(40e6);
      expect(errors).toEqual([]);
      await page.close();
    });

    test("with a blunt clock tells which launches are below its step", async () => {
      const { page, errors } = await open("machine");
      await page.waitForSelector("#machine-run:not([disabled])");
      await page.evaluate(() => {
        const { getMappedRange } = GPUBuffer.prototype;
        GPUBuffer.prototype.getMappedRange = function (...range) {
          const bytes = getMappedRange.apply(this, range);
          const stamps = this.label === "timestamps read-back" ? new BigUint64Array(bytes) : [];
          for (const [i, stamp] of stamps.entries()) stamps[i] = stamp - (stamp % 4_194_304n); // nanoseconds
          return bytes;
        };
      });
      await page.selectOption("#machine-repeats", "1");
      await page.selectOption("#machine-batch", "8");
      await runForward(page, TEXT);
      expect(await page.textContent("#machine-step")).toContain("step by 4.19 ms only");
      const times = await page.$$eval("#machine-launches tbody td:nth-child(4)", (cells) =>
        cells.map(({ textContent }) => textContent),
      );
      expect(times).toContain("< 4.19");
      expect(times.some((text) => Number(text) > 4)).toBe(true);
      expect(await page.locator("#machine-timeline rect[data-label]").count()).toBe(times.length);
      expect(errors).toEqual([]);
      await page.close();
    });

    test("without timestamps has the wall clock alone, and says why", async () => {
      const { page, errors } = await open("machine");
      await page.waitForSelector("#machine-run:not([disabled])"); // nothing under way is cut off
      await page.addInitScript(() => {
        const { requestDevice } = GPUAdapter.prototype;
        GPUAdapter.prototype.requestDevice = function (descriptor) {
          const features = [...(descriptor?.requiredFeatures ?? [])];
          const requiredFeatures = features.filter((feature) => feature !== "timestamp-query");
          return requestDevice.call(this, { ...descriptor, requiredFeatures });
        };
      });
      await page.reload();
      await runForward(page, TEXT);
      expect(await page.isVisible("#machine-untimed")).toBe(true);
      expect(await page.locator("#machine-timeline rect[data-label]").count()).toBe(0);
      expect(await page.isVisible("#roofline")).toBe(false);
      expect(await numberIn(page, "wall")).toBeGreaterThan(0);
      expect(await numberIn(page, "dispatches")).toBe(await page.locator("#machine-launches tbody tr").count());
      expect(errors).toEqual([]);
      await page.close();
    });
  });

  describe("the bench", () => {
    test("verifies and times kernels; its export is a file of the command line's", async () => {
      const { page, errors } = await open("bench");
      await page.fill("#bench-filter", "no such kernel");
      expect(await page.isDisabled("#bench-run")).toBe(true);
      await page.fill("#bench-filter", "layernorm");
      await page.selectOption("#bench-budget", "50");
      await page.click("#bench-run");
      await ended(page, "Done");
      const shown = await page.$$eval("#bench-table tbody tr", (rows) =>
        rows.map((row) => [...row.querySelectorAll("td")].map(({ textContent }) => textContent)),
      );
      const [download] = await Promise.all([page.waitForEvent("download"), page.click("#bench-export")]);
      expect(download.suggestedFilename()).toMatch(/^bench-[a-z0-9-]+-\d{4}-\d\d-\d\d\.json$/);
      const rows = parseRows(await readFile(await download.path(), "utf8"), download.suggestedFilename());
      expect(rows[0]).toMatchObject({ type: "origin", commit: expect.stringMatching(/^\d.*-browser$/) });
      expect(rows.slice(1, 3).map((row) => row.type === "ceiling" && [row.name, row.perSecond > 0])).toEqual([
        ["arithmetic", true],
        ["memory", true],
      ]);
      const kernels = rows.slice(3) as KernelRow[];
      expect(shown.map((cells) => cells.slice(1, 3))).toEqual(
        kernels.map(({ kernel, variant, shape, chosen }) => [
          [kernel, variant, chosen ? "*" : ""].filter(Boolean).join(" "),
          shape,
        ]),
      );
      expect(kernels.filter(({ chosen }) => chosen)).toHaveLength(2);
      const names = ["embed_layernorm", "embed_layernorm_subgroup", "layernorm", "layernorm_subgroup"];
      expect([...new Set(kernels.map(({ kernel }) => kernel))].sort()).toEqual(names);
      for (const { check, timing, copyMs } of kernels) {
        expect(check.error).toBeLessThanOrEqual(check.bound);
        expect(check.how).toMatch(/^all 98304, /);
        expect(Math.min(timing.p50, copyMs!)).toBeGreaterThan(0);
        expect(timing).not.toHaveProperty("others");
      }
      expect(comparisonText(rows, rows)).toMatch(/layernorm 128x768 f32 .* 1\.000 /);
      expect(pageOf(rows, "")).toContain("Kernels under the roofline");
      expect(errors).toEqual([]);
      await page.close();
    });

    test("keeps what it has when it is stopped", async () => {
      const { page, errors } = await open("bench");
      await page.fill("#bench-filter", "layernorm");
      await page.selectOption("#bench-budget", "50");
      await page.evaluate(() => {
        const stop = (): void => document.getElementById("bench-stop")!.click();
        new MutationObserver(stop).observe(document.getElementById("bench-table")!, { childList: true, subtree: true });
      });
      await page.click("#bench-run");
      await ended(page, "Stopped");
      const kept = await page.locator("#bench-table tbody tr").count();
      expect(kept).toBe(1); // of 4
      expect(await page.textContent("#bench-status")).toContain(`${kept} kernel`);
      expect(await page.isEnabled("#bench-export")).toBe(true);
      expect(await page.isEnabled("#bench-run")).toBe(true);
      expect(errors).toEqual([]);
      await page.close();
    });
  });
});

async function runForward(page: Page, text: string): Promise<void> {
  await page.waitForSelector("#machine-run:not([disabled])", { timeout: 60_000 });
  await page.fill("#machine-text", text);
  await page.click("#machine-run");
  await page.waitForFunction(
    () => /^A forward of/.test(document.getElementById("machine-status")!.textContent!),
    undefined,
    { timeout: 60_000 },
  );
  if (await page.isVisible("#machine-untimed")) return;
  await page.waitForSelector("#machine-timeline rect[data-label]", { state: "attached" }); // of no width if below a step
}

async function numberIn(page: Page, name: string): Promise<number> {
  return Number(await page.getAttribute(`#machine-numbers [data-${name}]`, `data-${name}`));
}

/** With the outcome at the beginning of the status. */
async function ended(page: Page, outcome: string): Promise<void> {
  await page.waitForFunction(
    (begin) => document.getElementById("bench-status")!.textContent!.startsWith(`${begin}:`),
    outcome,
    { timeout: 100_000 },
  );
}

/** Which of several kernels for one operation is a matter of the adapter. */
function withoutChoice(label: string): string {
  return label.replace(/^(matmul|attention)_\w+/, "$1");
}

async function launchesInNode(text: string) {
  const engine = await Engine.create(await testDevice());
  try {
    const { model, tokenizer } = await loadPretrained(engine, openFolder(join(ROOT, "weights/movie-bert")));
    const { ids, typeIds } = tokenizer.encode(text);
    const { program } = await model.program([{ inputIds: ids, tokenTypeIds: typeIds }], { logits: true });
    const sum = (of: "flops" | "bytes"): number => program.launches.reduce((total, launch) => total + launch[of], 0);
    const labels = program.launches.map(({ label }) => label);
    return { labels, tokens: ids.length, flops: sum("flops"), bytes: sum("bytes") };
  } finally {
    engine.dispose();
  }
}
