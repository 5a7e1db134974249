/** That kernels as bundles carry them are the kernels as they lie in src/kernels. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import wgsl from "wgsl-files";
import { bareWgsl } from "../bare_wgsl.ts";
import { requestDevice } from "../src/node/device.ts";
import { filesOf, kernelTexts } from "../wgsl.ts";
import { compile } from "./kernels/harness.ts";

const ROOT = join(import.meta.dirname, "..");
const CONSTANTS = /^(?:const|alias)\b[^;]*;/gm;

test("what functions declare gets names of a letter, unless the letter or the name means something else there", () => {
  const text = `// An example.
const WIDTH = 4; // of a vector
alias Sum = f32;
fn sum_of(first: Sum, lane: Lane) -> Sum { // of two
  let second = Sum(0x7fu) / 1e-3 + a.second;
  for (var i = 0u; i < WIDTH; i++) { total(i, first - second); }
  let total = lane.thread;
  return first - (second) / lane.place;
}
`;
  const bare = [
    "const WIDTH=4;",
    "alias Sum=f32;fn sum_of(f:Sum,l:Lane)->Sum{let s=Sum(0x7fu)/1e-3+a.second;for(var i=0u;i<WIDTH;i++){total(i,f-s);}" +
      "let total=l.thread;return f-(s)/l.place;}",
  ];
  expect(bareWgsl(text).split("\n")).toEqual(bare);
});

describe.each(Object.keys(wgsl))("%s", (path) => {
  test("is the same tokens, but for the names that a function declares, of which no two become one", () => {
    const [own, bare] = [wgsl[path]!.replace(/\/\/.*/g, ""), bareWgsl(wgsl[path]!)].map(functionsOf);
    expect(bare!.length).toBe(own!.length);
    for (const [i, tokens] of own!.entries()) {
      const names = new Map(tokens.map((token, at) => [token, bare![i]![at]!]));
      expect(tokens.map((token) => names.get(token))).toEqual(bare![i]);
      expect(new Set(names.values()).size).toBe(names.size);
    }
  });

  test("keeps each constant at the beginning of a line", () => {
    const spaceless = (text: string): string[] => (text.match(CONSTANTS) ?? []).map((line) => line.replace(/\s/g, ""));
    expect(spaceless(bareWgsl(wgsl[path]!))).toEqual(spaceless(wgsl[path]!));
  });
});

test("every kernel compiles so", async () => {
  const features = ["subgroups", "chromium-experimental-subgroup-matrix"];
  const { device } = await requestDevice({ adapter: "null", toggles: ["allow_unsafe_apis"], features });
  let kernels = 0;
  for (const path of Object.keys(wgsl)) {
    const files = filesOf(ROOT, join(ROOT, "src/kernels", path));
    if (!files.some(({ text }) => text.includes("@compute"))) continue;
    await compile(device, path, files.map(({ text }) => bareWgsl(text)).join("\n"));
    kernels++;
  }
  expect(kernels).toBe(kernelTexts(ROOT).size);
});

/** The tokens of each function, and before them those of the rest, up to the next `fn`. */
function functionsOf(text: string): string[][] {
  const parts = text.trim().split(/(?=\bfn )/);
  return parts.map((part) => part.match(/\.?[A-Za-z_]\w*|[\d.]+\w*|\S/g) ?? []);
}
