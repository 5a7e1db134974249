/** Chromium for the tests: npm's or the system's, on SwiftShader, driven by playwright-core. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import chromium from "@sparticuz/chromium";
import { type Browser, type Page, chromium as playwright } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--headless=new",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-unsafe-swiftshader",
  // without a GPU it shows canvases of WebGPU only where it draws with Vulkan itself: else they lose their device
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
  "--use-angle=swiftshader",
];

/**
 * The browser's file, or why there is none to test with. `BERT_WEBGPU_CHROMIUM` names another;
 * `BERT_WEBGPU_BROWSER=required` makes a missing one a failure.
 */
export async function findChromium(): Promise<{ path: string } | { missing: string }> {
  const found = await search();
  if ("missing" in found && process.env.BERT_WEBGPU_BROWSER === "required") throw new Error(found.missing);
  return found;
}

async function search(): Promise<{ path: string } | { missing: string }> {
  const named = process.env.BERT_WEBGPU_CHROMIUM;
  if (named) return existsSync(named) ? { path: named } : { missing: `there is no ${named}` };
  if (process.platform !== "linux" || process.arch !== "x64") {
    return { missing: "set BERT_WEBGPU_CHROMIUM to a Chromium with WebGPU: npm's is for linux x64" };
  }
  const path = await chromium.executablePath();
  try {
    const { stdout } = await promisify(execFile)("ldd", [path]);
    const absent = [...stdout.matchAll(/^\s*(\S+) => not found/gm)].map(([, name]) => name);
    return absent.length === 0 ? { path } : { missing: `npm's Chromium needs ${absent.join(", ")} of the system` };
  } catch (error) {
    return { missing: `npm's Chromium does not run here: ${(error as Error).message}` };
  }
}

export function launchChromium(path: string): Promise<Browser> {
  return playwright.launch({ executablePath: path, args: FLAGS });
}

/** Of a model's folder, files are asked for that it need not have; the console shows every 404. */
const OPTIONAL = /\/models\//;

/** A page that remembers what goes wrong in it: errors, failed requests, breaches of its policy. */
export async function openPage(
  browser: Browser,
  url: string,
  options: Parameters<Browser["newPage"]>[0] = {},
): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage(options);
  const errors: string[] = [];
  page.on("console", (message) => {
    const { url } = message.location();
    const probe = /status of 404/.test(message.text()) && OPTIONAL.test(url);
    if (message.type() === "error" && !probe) errors.push(`${url}: ${message.text()}`);
  });
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("requestfailed", (request) => errors.push(`${request.url()}: ${request.failure()?.errorText}`));
  await page.goto(url);
  return { page, errors };
}
