/** The playground's shell in Chromium: models from everywhere, failures that leave the old one, tabs. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MOVIE_BERT, missing, missingFixtures, NER, named, type Playground, startPlayground } from "./playground.ts";

describe.skipIf(missing !== undefined)(named("shell of the playground", missing), { timeout: 60_000 }, () => {
  let playground: Playground;
  beforeAll(async () => {
    playground = await startPlayground();
  });
  afterAll(() => playground?.end());

  describe("models", () => {
    test("a name that the hub does not know: an error, and the old model goes on", async () => {
      const page = await playground.open("classify");
      await page.route("https://huggingface.co/**", (route) => route.fulfill({ status: 404 }));
      await page.click("#picker > summary");
      await page.fill("#hub-id", "nobody/nothing");
      await page.press("#hub-id", "Enter");
      await expectFailure(page, "nobody/nothing", "there is no such model at https://huggingface.co (404)");
      await expectWorking(page);
      await playground.close(page, "/nobody/nothing/");
    });

    test("a model of the hub; a second time it comes from the browser's cache", async () => {
      const page = await playground.open("classify");
      const commit = "0123456789abcdef0123456789abcdef01234567";
      let reads = 0;
      await page.route("https://huggingface.co/**", (route) => {
        const { pathname } = new URL(route.request().url());
        if (pathname.startsWith("/api/models/someone/films/")) {
          return route.fulfill({ json: { sha: commit } });
        }
        const path = join(MOVIE_BERT, pathname.replace(`/someone/films/resolve/${commit}/`, ""));
        if (!existsSync(path)) return route.fulfill({ status: 404 });
        reads++;
        return route.fulfill({ path });
      });
      const load = async (name: string): Promise<void> => {
        await page.evaluate(() => document.getElementById("picker")?.setAttribute("open", ""));
        await page.fill("#hub-id", name);
        await page.press("#hub-id", "Enter");
        await page
          .locator("#load-summary", { hasText: `${name.replace("/weights/", "")}: loaded` })
          .waitFor({ state: "attached" });
      };
      await load("someone/films");
      expect(await page.textContent("#model-name")).toBe("someone/films");
      await expectWorking(page);
      const first = reads;
      expect(first).toBeGreaterThan(0);
      await load("/weights/movie-bert");
      await load("someone/films");
      expect(reads).toBe(first);
      await playground.close(page, "/someone/films/");
    });

    test("a path of this site with no model", async () => {
      const page = await playground.open("classify");
      await page.click("#picker > summary");
      await page.fill("#hub-id", "/weights/none");
      await page.press("#hub-id", "Enter");
      await expectFailure(page, "none", "has neither tokenizer.json nor vocab.txt");
      await page.setViewportSize({ width: 360, height: 700 });
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
      await page.fill("#hub-id", "//elsewhere.example/model");
      await page.press("#hub-id", "Enter");
      await expectFailure(page, "model", "is on another site");
      await expectWorking(page);
      await playground.close(page, "/weights/none/");
    });

    test("weights alone take configuration and tokenizer of the model at hand", async () => {
      const page = await playground.open("classify");
      const weights = readFileSync(join(MOVIE_BERT, "model.safetensors"));
      const file = { name: "mine.safetensors", mimeType: "application/octet-stream", buffer: weights };
      await page.setInputFiles("#file-input", file);
      await expect.poll(() => page.textContent("#model-name")).toBe("mine.safetensors");
      await expectWorking(page);
      await playground.close(page);
    });

    test.skipIf(missingFixtures)(
      named("weights of another shape: the error says what differs", missingFixtures),
      async () => {
        const page = await playground.open("classify");
        const weights = readFileSync(join(NER, "model.safetensors"));
        const file = { name: "ner.safetensors", mimeType: "application/octet-stream", buffer: weights };
        await page.setInputFiles("#file-input", file);
        await expectFailure(page, "ner.safetensors", "192");
        await expectWorking(page);
        await playground.close(page);
      },
    );

    test("a folder, chosen; and one without weights", async () => {
      const page = await playground.open("classify");
      await page.setInputFiles("#folder-input", MOVIE_BERT);
      await page.locator("#load-summary", { hasText: "movie-bert: loaded" }).waitFor({ state: "attached" });
      await expectWorking(page);
      await page.setInputFiles("#folder-input", join(import.meta.dirname, "../../src/bert/metrics"));
      await expectFailure(page, "metrics", "holds no weights");
      await expectWorking(page);
      await playground.close(page);
    });

    test("a file dropped on the page", async () => {
      const page = await playground.open("classify");
      const bytes = readFileSync(join(MOVIE_BERT, "model.safetensors")).toString("base64");
      await page.evaluate(async (base64) => {
        const content = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([content], "dropped.safetensors"));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
      }, bytes);
      await expect.poll(() => page.textContent("#model-name")).toBe("dropped.safetensors");
      await expectWorking(page);
      await playground.close(page);
    });

    test("a directory dropped on the page", async () => {
      const page = await playground.open("classify");
      const session = await page.context().newCDPSession(page);
      const data = { items: [], files: [MOVIE_BERT], dragOperationsMask: 1 };
      for (const type of ["dragEnter", "dragOver"] as const) {
        await session.send("Input.dispatchDragEvent", { type, x: 200, y: 300, data });
      }
      await page.locator("#drop-hint").waitFor();
      await session.send("Input.dispatchDragEvent", { type: "drop", x: 200, y: 300, data });
      await page.locator("#load-summary", { hasText: "movie-bert: loaded" }).waitFor({ state: "attached" });
      expect(await page.locator("#drop-hint").isVisible()).toBe(false);
      await expectWorking(page);
      await playground.close(page);
    });

    test("f16 on an adapter without it: the choice is hidden, and forced it is refused", async () => {
      const page = await playground.open("classify");
      const choice = page.locator("#dtype");
      expect(await choice.isVisible()).toBe(false);
      await page.evaluate(() => document.getElementById("dtype-label")?.removeAttribute("hidden"));
      await choice.selectOption("f16");
      await expectFailure(page, "movie-bert", "shader-f16");
      expect(await choice.inputValue()).toBe("f32");
      await expectWorking(page);
      await playground.close(page);
    });

    test("a load can be cancelled, and the old model goes on", async () => {
      const page = await playground.open("classify");
      let answer: (() => void) | undefined;
      await page.route("**/slow/vocab.txt", async (route) => {
        await new Promise<void>((done) => {
          answer = done;
        });
        await route.abort().catch(() => {}); // the page has given up on it
      });
      await page.route("**/slow/tokenizer*.json", (route) => route.fulfill({ status: 404 }));
      await page.click("#picker > summary");
      await page.fill("#hub-id", "/models/slow");
      await page.press("#hub-id", "Enter");
      await page.getByText("slow: vocab.txt").waitFor();
      await page.click("#load-cancel");
      await page.locator("#load-summary", { hasText: "slow: cancelled" }).waitFor({ state: "attached" });
      answer?.();
      expect(await page.locator("#loading").isVisible()).toBe(false);
      await expectWorking(page);
      await playground.close(page, "/models/slow/");
    });

    test("the model before is disposed of, once the next one is there", async () => {
      const page = await playground.open("classify");
      const bytes = (): Promise<string | null> => page.getAttribute("#model", "data-gpu-bytes");
      const before = Number(await bytes());
      expect(before).toBeGreaterThan(10e6);
      await page.setInputFiles("#folder-input", MOVIE_BERT);
      await page.locator("#load-summary", { hasText: "movie-bert: loaded" }).waitFor({ state: "attached" });
      await expectWorking(page);
      expect(Math.abs(Number(await bytes()) - before)).toBeLessThan(6e6);
      await playground.close(page);
    });
  });

  describe("shell", () => {
    test("tabs by keyboard; the tab is in the address", async () => {
      const page = await playground.open("fill");
      const selected = (): Promise<string | null> => page.getAttribute("[role=tab][aria-selected=true]", "id");
      await page.focus("#tab-fill");
      await page.keyboard.press("ArrowRight");
      await expect.poll(selected).toBe("tab-classify");
      expect(new URL(page.url()).hash).toBe("#classify");
      await page.keyboard.press("End");
      await expect.poll(selected).toBe("tab-bench");
      await page.keyboard.press("ArrowRight");
      await expect.poll(selected).toBe("tab-fill");
      await page.keyboard.press("ArrowLeft");
      await page.keyboard.press("Home");
      await expect.poll(selected).toBe("tab-fill");
      expect(await page.locator("[role=tabpanel]:visible").count()).toBe(1);
      expect(await page.locator("[role=tab][tabindex='0']").count()).toBe(1);
      await playground.close(page);
    });

    test.each(["fill", "classify", "tag", "answer", "compare"])("%s fits a phone", async (tab) => {
      const page = await playground.open(tab);
      await page.setViewportSize({ width: 360, height: 700 });
      await page.click("#picker > summary");
      await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
      await playground.close(page);
    });

    test("without WebGPU the page says what to do", async () => {
      const context = await playground.browser.newContext();
      const page = await context.newPage();
      await page.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, "gpu"));
      await page.goto(`${playground.site.url}/playground/`);
      const notice = page.locator("#no-webgpu");
      await notice.waitFor();
      expect(await notice.textContent()).toMatch(/Chrome, Edge.*113.*Safari.*26.*Firefox.*141/s);
      expect(await page.textContent("#no-webgpu-reason")).toContain("navigator.gpu is missing");
      expect(await page.locator("main").isVisible()).toBe(false);
      await context.close();
    });
  });
});

async function expectFailure(page: Page, name: string, reason: string): Promise<void> {
  const box = page.locator("#load-error", { hasText: `${name} could not be loaded` });
  await box.waitFor();
  const text = await box.textContent();
  expect(text).toContain(reason);
  expect(text).toContain("stays loaded");
}

/** The classifier of movie-bert answers. */
async function expectWorking(page: Page): Promise<void> {
  await page.fill("#classify-text", "");
  await page.getByText("Write something to classify.").waitFor();
  await page.fill("#classify-text", "Wonderful, wonderful, wonderful.");
  const first = page.locator("#panel-classify li").first();
  await first.waitFor();
  expect(await first.getAttribute("data-name")).toBe("POSITIVE");
}
