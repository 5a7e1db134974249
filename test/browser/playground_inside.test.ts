/** The playground's tab "Look inside" in Chromium: what it shows is what the same model computes in Node. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Site, serveSite } from "../../examples/serve.ts";
import type { Forward } from "../../src/bert/outputs.ts";
import { loadPretrained, type Pretrained } from "../../src/bert/tasks/pretrained.ts";
import { openFolder } from "../../src/node/folder.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { testDevice } from "../device.ts";
import { findChromium, launchChromium, openPage } from "./chromium.ts";

const ROOT = join(import.meta.dirname, "../..");
const HEADLESS = join(ROOT, "../shared/fixtures/text/token-classification");
const TEXT = "The film is a [MASK] and unforgettable masterpiece.";
const GUESSES = 5;
const TOLERANCE = 1e-4;
const chromium = await findChromium();
const unable =
  "missing" in chromium
    ? chromium.missing
    : existsSync(join(ROOT, "dist/examples/playground/main.js"))
      ? undefined
      : "needs `node build.mjs`";

describe.skipIf(unable)(`look inside${unable ? ` (${unable})` : ""}`, () => {
  let site: Site;
  let browser: Browser;
  let page: Page;
  let errors: string[];
  let bert: Pretrained;
  let tokens: readonly string[];
  let expected: Forward;
  beforeAll(async () => {
    site = await serveSite(existsSync(HEADLESS) ? { folders: { "models/headless": HEADLESS } } : {});
    browser = await launchChromium("path" in chromium ? chromium.path : "");
    const engine = await Engine.create(await testDevice());
    bert = await loadPretrained(engine, await openFolder(join(ROOT, "weights/movie-bert")));
    const encoding = bert.tokenizer.encode(TEXT);
    tokens = encoding.tokens;
    expected = await bert.model.forward([{ inputIds: encoding.ids, tokenTypeIds: encoding.typeIds }], {
      attentions: true,
      hiddenStates: true,
      layerPredictionTopK: GUESSES,
    });
    ({ page, errors } = await openPage(browser, `${site.url}/playground/#inside`));
    await shown(page, tokens.length);
  });
  afterAll(async () => {
    bert?.model.dispose();
    await browser?.close();
    await site?.close();
  });

  /** [tokens, tokens] of a layer and a head, both counted from 1. */
  const weightsOf = (layer: number, head: number): Float32Array => {
    const { data } = expected.attentions![layer - 1]![0]!;
    const size = tokens.length ** 2;
    return data.subarray((head - 1) * size, head * size);
  };
  const view = (name: string): Locator => page.locator(`[data-view=${name}]`);
  const matrix = (): Promise<number[]> => numbers(view("attention").locator("figure rect"), "value");

  it("shows the tokens, word pieces joined", async () => {
    const chips = page.locator(".inside-chip");
    expect(await chips.evaluateAll((all) => all.map((chip) => (chip as HTMLElement).dataset.token))).toEqual(tokens);
    expect(await page.locator(".inside-chip.special").allTextContents()).toEqual(["[CLS]", "[SEP]"]);
    expect(await page.locator(".inside-chip.masked").allTextContents()).toEqual(["[MASK]"]);
    const continued = tokens.filter((token) => token.startsWith("##")).map((token) => token.slice(2));
    expect(await page.locator(".inside-chip.continues").allTextContents()).toEqual(continued);
  });

  it("shows the weights of the layer and head that are chosen, of their mean and their maximum", async () => {
    const heads = bert.model.config.numAttentionHeads;
    const n = tokens.length;
    for (const [layer, head] of [
      [1, 1],
      [2, 3],
      [3, 2],
    ] as const) {
      await page.getByRole("combobox", { name: "Layer", exact: true }).selectOption(String(layer));
      await page.getByRole("combobox", { name: "Head", exact: true }).selectOption(String(head));
      const weights = await matrix();
      expectClose(weights, weightsOf(layer, head));
      for (let row = 0; row < n; row++) {
        const sum = weights.slice(row * n, (row + 1) * n).reduce((a, b) => a + b, 0);
        expect(Math.abs(sum - 1)).toBeLessThan(TOLERANCE);
      }
      const arcs = view("attention").locator("path[data-weight]");
      const strongest = Math.max(...weightsOf(layer, head));
      const drawn = [...weightsOf(layer, head)].filter((weight) => weight >= 0.05 * strongest);
      expectClose(await numbers(arcs, "weight"), drawn);
    }
    const all = Array.from({ length: heads }, (_, head) => weightsOf(3, head + 1));
    await page.getByRole("combobox", { name: "Head", exact: true }).selectOption("mean");
    const mean = Array.from({ length: n * n }, (_, i) => all.reduce((sum, weights) => sum + weights[i]!, 0) / heads);
    expectClose(await matrix(), mean);
    await page.getByRole("combobox", { name: "Head", exact: true }).selectOption("max");
    expectClose(
      await matrix(),
      mean.map((_, i) => Math.max(...all.map((weights) => weights[i]!))),
    );
    await page.getByRole("combobox", { name: "Head", exact: true }).selectOption("1");
    await view("attention").locator("summary").click();
    const table = view("attention").locator("td[data-value]");
    await table.first().waitFor(); // filled when it is open
    expectClose(await numbers(table, "value"), weightsOf(3, 1));
  });

  it("gives the entropy of every head", async () => {
    const thumbnails = view("attention").locator("[data-entropy][data-head]:is(button)");
    const { numHiddenLayers, numAttentionHeads } = bert.model.config;
    const entropies = Array.from({ length: numHiddenLayers * numAttentionHeads }, (_, i) => {
      const weights = weightsOf(1 + Math.floor(i / numAttentionHeads), 1 + (i % numAttentionHeads));
      return weights.reduce((sum, p) => (p > 0 ? sum - p * Math.log2(p) : sum), 0) / tokens.length;
    });
    expectClose(await numbers(thumbnails, "entropy"), entropies);
  });

  it("is chosen by keys: in the overview, by select, within the matrix and among the arcs", async () => {
    const chosen = (): Promise<(string | null)[]> =>
      Promise.all(["data-layer", "data-head"].map((name) => view("attention").getAttribute(name)));
    const overview = view("attention").getByRole("grid");
    await view("attention").getByRole("gridcell", { selected: true }).focus();
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowRight");
    expect(await chosen()).toEqual(["2", "2"]);
    expectClose(await matrix(), weightsOf(2, 2));
    expect(await overview.locator(":focus").getAttribute("aria-selected")).toBe("true");
    await page.getByRole("combobox", { name: "Layer", exact: true }).press("ArrowDown");
    expect(await chosen()).toEqual(["3", "2"]);

    await view("attention").locator("figure rect[tabindex='0']").focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowRight");
    const weight = weightsOf(3, 2)[tokens.length + 1]!;
    const said = `${tokens[1]} → ${tokens[1]}: ${weight.toFixed(4)}`;
    expect(await view("attention").locator(".inside-matrix output").textContent()).toBe(said);
    expect(await page.locator("rect:focus").getAttribute("aria-label")).toBe(said);

    await view("attention").locator(".inside-arcs text[tabindex='0']").focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowRight"); // the second token, as one that is looked at
    expect(await page.locator("text:focus").getAttribute("aria-label")).toContain(`${tokens[1]} is looked at by`);
    const visible = view("attention").locator("path[data-to]:visible");
    expect(new Set(await numbers(visible, "to"))).toEqual(new Set([1]));
  });

  it("shows the norms and cosines of the hidden states", async () => {
    const hidden = bert.model.config.hiddenSize;
    const rows = expected.hiddenStates!.flatMap(({ data }) =>
      tokens.map((_, token) => data.subarray(token * hidden, (token + 1) * hidden)),
    );
    const norms = rows.map((row) => Math.hypot(...row));
    expectClose(await numbers(view("norms").locator("rect[data-value]"), "value"), norms);
    const last = rows.slice(-tokens.length);
    const cosines = last.flatMap((a) =>
      last.map((b) => a.reduce((sum, value, i) => sum + value * b[i]!, 0) / Math.hypot(...a) / Math.hypot(...b)),
    );
    expectClose(await numbers(view("similarity").locator("rect[data-value]"), "value"), cosines);
  });

  it("shows the guesses after every layer, the last on top", async () => {
    const cells = view("lens").locator("td[data-piece]");
    const states = expected.layerPredictionTopK!.toReversed();
    const best = (of: "ids" | "probabilities"): number[] =>
      states.flatMap((state) => tokens.map((_, token) => state[of][token * GUESSES]!));
    const pieces = await cells.evaluateAll((all) => all.map((cell) => (cell as HTMLElement).dataset.piece));
    expect(pieces).toEqual(best("ids").map((id) => bert.tokenizer.idToToken(id)));
    expectClose(await numbers(cells, "probability"), best("probabilities"));

    const masked = tokens.indexOf("[MASK]");
    await cells.nth(0).focus();
    for (let i = 0; i < masked; i++) await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowDown"); // the mask after the layer before the last
    const shownGuesses = await view("lens").locator("[data-guesses]").getAttribute("data-guesses");
    const guesses = JSON.parse(shownGuesses!) as { piece: string; probability: number }[];
    const { ids, probabilities } = states[1]!;
    const range = [masked * GUESSES, (masked + 1) * GUESSES] as const;
    expect(guesses.map(({ piece }) => piece)).toEqual(
      [...ids.slice(...range)].map((id) => bert.tokenizer.idToToken(id)),
    );
    expectClose(
      guesses.map(({ probability }) => probability),
      probabilities.slice(...range),
    );
  });

  it("masks a token that is clicked, and takes the mask back", async () => {
    await page.getByRole("button", { name: "film" }).click();
    await expect.poll(() => page.locator(".inside-chip.masked").count()).toBe(2);
    expect(await page.locator("#inside-text").inputValue()).toBe(TEXT.replace("film", "[MASK]"));
    await page.getByRole("button", { name: "Take the mask back" }).click();
    await expect.poll(() => page.locator(".inside-chip.masked").count()).toBe(1);
    expect(await page.locator("#inside-text").inputValue()).toBe(TEXT);
  });

  it("takes a pair, cuts what is too long and says so, and stays within a narrow page", async () => {
    await page.locator("#inside-text").fill("one two three ".repeat(40));
    await page.locator("#inside-pair").fill("a second text");
    await shown(page, 64);
    const given = bert.tokenizer.encode("one two three ".repeat(40), "a second text").ids.length;
    expect(await page.locator(".inside-note").textContent()).toContain(`Only 64 of ${given} tokens are shown`);
    await page.setViewportSize({ width: 360, height: 740 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    expect(errors).toEqual([]);
  });

  it.skipIf(!existsSync(HEADLESS))(
    "says why a model without a masked-LM head has no lens (needs fixtures)",
    async () => {
      const other = await openPage(browser, `${site.url}/playground/?model=/models/headless#inside`);
      await other.page.waitForSelector("#panel-inside[data-tokens]");
      expect(await other.page.locator("[data-view=lens]").textContent()).toContain("no masked-LM head");
      expect(await other.page.locator("[data-view=lens] table, button.inside-chip").count()).toBe(0);
      expect(await other.page.locator("[data-view=attention] figure rect").count()).toBeGreaterThan(0);
      expect(other.errors).toEqual([]);
      await other.page.close();
    },
  );
});

/** Waits until the panel shows a text of that many tokens. */
async function shown(page: Page, tokens: number): Promise<void> {
  await page.waitForSelector(`#panel-inside[data-tokens="${tokens}"]`);
}

function numbers(elements: Locator, name: string): Promise<number[]> {
  return elements.evaluateAll(
    (all, name) => all.map((element) => Number((element as HTMLElement | SVGElement).dataset[name])),
    name,
  );
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length);
  expect(actual.length).toBeGreaterThan(0);
  const errors = Array.from(actual, (value, i) => Math.abs(value - expected[i]!));
  expect(errors.reduce((a, b) => Math.max(a, b), 0)).toBeLessThan(TOLERANCE);
}
