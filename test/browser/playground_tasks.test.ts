/** The playground's tasks in Chromium: what the page shows is what Node computes. */

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  answerQuestions,
  classifyText,
  classifyTokens,
  cosine,
  Engine,
  embedText,
  fillMask,
  loadPretrained,
  type Pretrained,
} from "../../src/index.ts";
import { openFolder } from "../../src/node/folder.ts";
import { testDevice } from "../device.ts";
import {
  MOVIE_BERT,
  missing,
  missingFixtures,
  NER,
  named,
  type Playground,
  QA,
  startPlayground,
} from "./playground.ts";

/** A page's number and Node's, from two WebGPU implementations. */
const CLOSE = 1e-4;

describe.skipIf(missing !== undefined)(named("tasks of the playground", missing), { timeout: 60_000 }, () => {
  let playground: Playground;
  let engine: Engine;
  beforeAll(async () => {
    playground = await startPlayground();
    engine = await Engine.create(await testDevice());
  });
  afterAll(() => playground?.end());

  const load = (folder: string): Promise<Pretrained> => loadPretrained(engine, openFolder(folder));

  test("fill the mask: the words and their probabilities, and a click puts one in", async () => {
    const page = await playground.open("fill");
    const text = "A [MASK] story with a [MASK] ending.";
    await page.fill("#fill-text", text);
    const sections = page.locator("#panel-fill [data-mask]");
    await sections.nth(1).waitFor();
    const [masks] = await fillMask(await load(MOVIE_BERT), [text], { topK: 10 });
    for (const [mask, fills] of masks!.entries()) {
      const items = await itemsOf(sections.nth(mask).locator("li"));
      expect(items.map(({ name }) => name)).toEqual(fills.map(({ token_str }) => token_str));
      expectClose(items, fills);
    }
    const bars = await sections.first().locator("svg g[aria-label=bar] rect").count();
    expect(bars).toBe(20); // ten, and behind each what is full

    const word = masks![1]![2]!.token_str;
    await sections.nth(1).getByRole("button", { name: word, exact: true }).click();
    expect(await page.inputValue("#fill-text")).toBe(`A [MASK] story with a ${word} ending.`);
    await sections.nth(1).waitFor({ state: "detached" });
    await playground.close(page);
  });

  test("fill the mask: a button inserts a mask where the cursor is", async () => {
    const page = await playground.open("fill");
    await page.fill("#fill-text", "It was  .");
    await page.getByText("Put a [MASK] where a word is to be guessed.").waitFor();
    await page.locator("#fill-text").evaluate((text: HTMLTextAreaElement) => text.setSelectionRange(7, 7));
    await page.click("#fill-insert");
    expect(await page.inputValue("#fill-text")).toBe("It was [MASK] .");
    await page.locator("#panel-fill [data-mask] li").first().waitFor();
    await playground.close(page);
  });

  test("a text that is cut: told beside the answer, until it is short again", async () => {
    const page = await playground.open("classify");
    const warning = page.locator("#panel-classify [data-warning]");
    expect(await warning.isHidden()).toBe(true);
    await page.fill("#classify-text", "good ".repeat(600));
    await warning.waitFor();
    expect(await warning.textContent()).toBe(
      '"good good good good good good good good " has 602 tokens, the model takes 512: the rest is left out',
    );
    expect(await page.locator("#panel-classify li").count()).toBeGreaterThan(0);
    await page.fill("#classify-text", "good");
    await warning.waitFor({ state: "hidden" });
    await playground.close(page);
  });

  test("classify: every label's score, for a text and for a pair", async () => {
    const page = await playground.open("classify");
    const bert = await load(MOVIE_BERT);
    const text = "The first half drags, but I liked it.";
    await page.fill("#classify-text", text);
    const [alone] = await classifyText(bert, [text], { topK: null });
    await expectItems(
      page,
      "#panel-classify li",
      alone!.map(({ label: name, score }) => ({ name, score })),
    );

    await page.click("#panel-classify summary");
    await page.fill("#classify-pair", "A waste of time.");
    const [pair] = await classifyText(bert, [{ text, pair: "A waste of time." }], { topK: null });
    await expectItems(
      page,
      "#panel-classify li",
      pair!.map(({ label: name, score }) => ({ name, score })),
    );
    expect(await page.textContent("#panel-classify [data-summary]")).toContain(pair![0]!.label);
    await playground.close(page);
  });

  test("compare: similarities of each sentence with each", async () => {
    const page = await playground.open("compare");
    const lines = ["A funny film.", "It made me laugh.", "The weather was bad."];
    await page.fill("#compare-text", `${lines.join("\n")}\n\n`);
    const vectors = await embedText(await load(MOVIE_BERT), lines);
    const expected = vectors.flatMap((a) => vectors.map((b) => ({ score: cosine(a, b) })));
    const cells = page.locator("#panel-compare td[data-score]");
    await expect.poll(() => cells.count()).toBe(9);
    expectClose(await itemsOf(cells), expected);
    expect(await page.locator("#panel-compare svg g[aria-label=cell] rect").count()).toBe(9);

    await page.fill("#compare-text", "Only one.");
    await page.getByText("Write at least two sentences").waitFor();
    expect(await cells.count()).toBe(0);
    await playground.close(page);
  });

  test("what a model has no head for is explained, and a button loads one that has", async () => {
    const page = await playground.open("tag");
    const notice = page.locator("#panel-tag [data-missing-head]");
    expect(await notice.textContent()).toContain("movie-bert cannot do this: it takes a classifier of tokens");
    expect(await page.locator("#tag-text").isVisible()).toBe(false);
    const asked: string[] = [];
    await page.route("https://huggingface.co/**", (route) => {
      asked.push(route.request().url());
      return route.fulfill({ status: 404 });
    });
    await notice.getByRole("button", { name: "dslim/bert-base-NER" }).click();
    await page.locator("#load-error").waitFor();
    expect(asked[0]).toContain("/dslim/bert-base-NER/");
    await playground.close(page, "/dslim/bert-base-NER/");
  });

  test.skipIf(missingFixtures)(named("tag: entities where Node finds them", missingFixtures), async () => {
    const page = await playground.open("tag", "/models/tokcls");
    const text = "Angela Merkel visited Café Müller in Zürich 😀 with Barack Obama .";
    await page.fill("#tag-text", text);
    const bert = await load(NER);
    for (const aggregationStrategy of ["average", "simple"] as const) {
      await page.selectOption("#tag-strategy", aggregationStrategy);
      const [entities] = await classifyTokens(bert, [text], { aggregationStrategy });
      const marks = page.locator("#panel-tag .passage mark");
      const places = (): Promise<(string | undefined)[][]> =>
        marks.evaluateAll((found: HTMLElement[]) =>
          found.map(({ dataset: { start, end, type } }) => [start, end, type]),
        );
      await expect
        .poll(places)
        .toEqual(entities!.map((e) => [String(e.start), String(e.end), "entity_group" in e ? e.entity_group : ""]));
      expectClose(await itemsOf(marks), entities!);
      expect(entities!.length).toBeGreaterThan(2);
    }
    await playground.close(page);
  });

  test.skipIf(missingFixtures)(named("answer: the best span and its alternatives", missingFixtures), async () => {
    const page = await playground.open("answer", "/models/qa");
    const context = "Rollo's contingents, who settled Normandy, included Danes and Norwegians.";
    const question = "Who settled Normandy?";
    await page.fill("#answer-passage", context);
    await page.fill("#answer-question", question);
    const [answers] = await answerQuestions(await load(QA), [{ question, context }], { topK: 4 });
    const expected = answers!.filter(({ answer }) => answer !== "");
    await expectItems(
      page,
      "#answer-list li",
      expected.map(({ answer: name, score }) => ({ name, score })),
    );
    const passage = page.locator("#panel-answer .passage");
    expect(await passage.textContent()).toBe(context);
    expect(await passage.locator("mark").textContent()).toBe(expected[0]!.answer);
    await page.locator("#answer-list button").nth(1).click();
    expect(await passage.locator("mark").textContent()).toBe(expected[1]!.answer);
    await playground.close(page);
  });
});

interface Item {
  readonly name?: string | undefined;
  readonly score: number;
}

function itemsOf(found: ReturnType<Page["locator"]>): Promise<Item[]> {
  return found.evaluateAll((elements: HTMLElement[]) =>
    elements.map(({ dataset: { name, score } }) => ({ name, score: Number(score) })),
  );
}

/** Waits for the names, then compares the scores; results follow the input after a pause. */
async function expectItems(page: Page, selector: string, expected: readonly Item[]): Promise<void> {
  const near = async (): Promise<boolean> => {
    const items = await itemsOf(page.locator(selector));
    return (
      items.length === expected.length && items.every(({ score }, i) => Math.abs(score - expected[i]!.score) < CLOSE)
    );
  };
  await expect.poll(near, { timeout: 10_000 }).toBe(true);
  expect((await itemsOf(page.locator(selector))).map(({ name }) => name)).toEqual(expected.map(({ name }) => name));
}

function expectClose(items: readonly Item[], expected: readonly { readonly score: number }[]): void {
  expect(items.length).toBe(expected.length);
  for (const [i, { score }] of items.entries()) expect(Math.abs(score - expected[i]!.score)).toBeLessThan(CLOSE);
}
