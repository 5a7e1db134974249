/** The page of `train --report` in Chromium, from disk: what it draws, in both themes, wide and narrow. */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADAPTER, runTrain, SCRATCH_MODEL, trainScratch } from "../node/training/command.ts";
import { findChromium, launchChromium, openPage } from "./chromium.ts";

const chromium = await findChromium();
const missing = "missing" in chromium ? ` (${chromium.missing})` : "";

/** Widths of a desktop's window and of a phone's. */
const VIEWS = (["light", "dark"] as const).flatMap((theme) => [1280, 390].map((width) => [theme, width] as const));

describe.skipIf(missing !== "")(`the page of a run${missing}`, () => {
  let browser: Browser;
  let scratch: string;
  beforeAll(async () => {
    scratch = await trainScratch();
    const args = [
      "classify",
      ...SCRATCH_MODEL,
      "--input",
      "reviews.jsonl",
      "--eval-input",
      "dev.jsonl",
      "--output",
      "model",
    ];
    const { code } = await runTrain(scratch, [...args, "--report", "report.html", ...ADAPTER]);
    expect(code).toBe(0);
    browser = await launchChromium((chromium as { path: string }).path);
  });
  afterAll(async () => {
    await browser?.close();
    await rm(scratch, { recursive: true });
  });

  test.each(VIEWS)(
    "%s, %i pixels wide: each plot is drawn and fits, and nothing complains",
    async (colorScheme, width) => {
      const url = pathToFileURL(join(scratch, "report.html")).href;
      const { page, errors } = await openPage(browser, url, { colorScheme, viewport: { width, height: 900 } });
      const plots = page.locator(".plot");
      await plots.last().locator("svg").last().waitFor();
      expect(await plots.count()).toBe(5); // loss, gradient, rate, metrics, confusion
      for (const plot of await plots.all()) {
        const svg = plot.locator("svg").last();
        const [inner, outer] = [(await svg.boundingBox())!, (await plot.boundingBox())!];
        expect(inner.width).toBeLessThanOrEqual(outer.width + 1);
        const marks = svg.locator("[aria-label=line] path, [aria-label=cell] rect");
        expect(await marks.count()).toBeGreaterThan(0);
      }
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      expect(await page.locator("[aria-label=cell] rect").count()).toBe(9); // three labels by three
      errors.push(
        ...(await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => `loads ${name}`))),
      );
      expect(errors).toEqual([]);
      await page.close();
    },
  );

  test("what the pointer shows is told apart from its ground, in the dark as well", async () => {
    const url = pathToFileURL(join(scratch, "report.html")).href;
    const { page, errors } = await openPage(browser, url, {
      colorScheme: "dark",
      viewport: { width: 1280, height: 900 },
    });
    const svg = page.locator(".plot svg").last();
    await svg.scrollIntoViewIfNeeded();
    const box = (await svg.boundingBox())!;
    await page.mouse.move(box.x + box.width * 0.8, box.y + box.height * 0.8);
    const tip = svg.locator("[aria-label=tip] path").first();
    await tip.waitFor();
    const [ground, card] = await tip.evaluate((path) => [
      getComputedStyle(path).fill,
      getComputedStyle(path.closest("section")!).backgroundColor,
    ]);
    expect(ground).toBe(card);
    expect(await svg.locator("[aria-label=tip] text").textContent()).toMatch(/gold \w+, predicted \w+/);
    expect(errors).toEqual([]);
    await page.close();
  });
});
