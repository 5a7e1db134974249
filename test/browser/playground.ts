/** The playground in Chromium, for its tests: a site, a browser, and pages that are watched. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { expect } from "vitest";
import { type Site, serveSite } from "../../examples/serve.ts";
import { findChromium, launchChromium, openPage } from "./chromium.ts";

const ROOT = join(import.meta.dirname, "../..");
const FIXTURES = join(ROOT, "../shared/fixtures/text");

/** Model folders. */
export const MOVIE_BERT: string = join(ROOT, "weights/movie-bert");
export const NER: string = join(FIXTURES, "token-classification");
export const QA: string = join(FIXTURES, "question-answering");

const chromium = await findChromium();
const built = existsSync(join(ROOT, "dist/examples/playground/main.js"));

/** Why the tests cannot run; `undefined` when they can. */
export const missing: string | undefined =
  "missing" in chromium ? chromium.missing : built ? undefined : "dist/examples is missing: run node build.mjs";

/** Why those with the models of ../shared cannot. */
export const missingFixtures: string | undefined =
  missing ?? (existsSync(NER) && existsSync(QA) ? undefined : "the models of ../shared are missing");

/** A test's name, with the reason why it is skipped. */
export function named(name: string, reason: string | undefined): string {
  return reason ? `${name} (skipped: ${reason})` : name;
}

export interface Playground {
  readonly browser: Browser;
  readonly site: Site;
  /** Opens a tab, with a path of the site as its model, and waits until the task has run or has said that it cannot. */
  open(tab: string, model?: string): Promise<Page>;
  /**
   * Closes the page, in which nothing may have gone wrong.
   * @param refused part of the addresses that the test answers with 404; a reply nobody reads counts as broken off
   */
  close(page: Page, refused?: string): Promise<void>;
  end(): Promise<void>;
}

/** @throws Error where there is no Chromium */
export async function startPlayground(): Promise<Playground> {
  if ("missing" in chromium) throw new Error(chromium.missing);
  const site = await serveSite({ folders: { "models/tokcls": NER, "models/qa": QA } });
  const browser = await launchChromium(chromium.path);
  const errorsOf = new Map<Page, string[]>();
  return {
    browser,
    site,
    async open(tab, model) {
      const query = model === undefined ? "" : `?model=${model}`;
      const { page, errors } = await openPage(browser, `${site.url}/playground/${query}#${tab}`);
      errorsOf.set(page, errors);
      const ready = ".took[data-ms], [data-missing-head]:not([hidden])";
      await page.locator(`#panel-${tab}`).locator(ready).first().waitFor();
      return page;
    },
    async close(page, refused) {
      await page.close();
      const expected = (error: string): boolean =>
        refused !== undefined &&
        error.includes(refused) &&
        (/responded with a status of 404/.test(error) || error.endsWith("net::ERR_ABORTED"));
      expect(errorsOf.get(page)!.filter((error) => !expected(error))).toEqual([]);
    },
    async end() {
      await browser.close();
      await site.close();
    },
  };
}
