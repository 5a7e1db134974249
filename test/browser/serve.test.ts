/** The examples' server: the right files, by ranges too, and nothing from outside its folders. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Site, STRICT_POLICY, serveSite } from "../../examples/serve.ts";

let site: Site;
beforeAll(async () => {
  site = await serveSite();
});
afterAll(() => site.close());

test("serves the weights, whole and by ranges", async () => {
  const file = readFileSync(join(import.meta.dirname, "../../weights/movie-bert/config.json"));
  const url = `${site.url}/weights/movie-bert/config.json`;
  const whole = await fetch(url);
  expect(whole.headers.get("content-security-policy")).toBe(STRICT_POLICY);
  expect(await whole.text()).toBe(file.toString());
  const part = await fetch(url, { headers: { range: "bytes=3-9" } });
  expect([part.status, part.headers.get("content-range")]).toEqual([206, `bytes 3-9/${file.length}`]);
  expect(await part.text()).toBe(file.subarray(3, 10).toString());
});

test.each(["/weights/..%2fpackage.json", "/..%2f..%2fpackage.json", "/package.json", "/weights/none.json"])(
  "%s is not there",
  async (path) => {
    expect((await fetch(site.url + path)).status).toBe(404);
  },
);
