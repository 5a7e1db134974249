import { existsSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import { LEGEND } from "../../bench/columns.ts";
import { htmlReport, pageOf } from "../../bench/html/report.ts";
import type { Row } from "../../bench/rows.ts";
import lavapipe from "./fixtures/lavapipe.json" with { type: "json" };
import swiftshader from "./fixtures/swiftshader-mini.json" with { type: "json" };

const ROOT = join(import.meta.dirname, "../..");
const RUN = lavapipe.rows as unknown as Row[];
const OTHER = swiftshader.rows as unknown as Row[];
const [ORIGIN] = RUN as [Row];
const HEADINGS = { kernels: "Kernels under the roofline", models: "Latency against tokens", peers: "Beside other" };

const peer = (name: string, kind: "webgpu" | "cpu", median: number): Row => ({
  type: "peer",
  peer: name,
  kind,
  model: "mini 4x256",
  batch: "1 x 128",
  adapter: "GPU",
  check: { error: 1e-6, bound: 1e-4 },
  timing: { median, min: median / 2, max: median * 2, n: 5 },
  firstAnswerColdMs: 900,
  peakBytes: 1e8,
  sequencesPerSecond: 1000 / median,
});

/** What a browser finds in the elements that hold JSON: they end at the first `</script`, whatever JSON says. */
function jsonOf(html: string): unknown[] {
  const elements = html.matchAll(/<script type="application\/json"[^>]*>(.*?)<\/script/gis);
  return [...elements].map(([, json]) => JSON.parse(json!) as unknown);
}

function figuresOf(html: string): { kind: string; marks: Record<string, unknown>[] }[] {
  return jsonOf(html).filter((value): value is { kind: string; marks: [] } => "kind" in (value as object));
}

describe("the page", () => {
  test("holds every row as JSON, and each kernel and model in a table", () => {
    const html = pageOf([...RUN, ...OTHER], "");
    expect(jsonOf(html)).toContainEqual({ rows: [...lavapipe.rows, ...swiftshader.rows] });
    const lines = html.match(/<tr><td/g)!.length;
    const measured = [...RUN, ...OTHER].filter(({ type }) => type === "kernel" || type === "model");
    expect(lines).toBeGreaterThan(measured.length); // and shares by kernel
    for (const text of ["128x2304x768", "llvmpipe", "SwiftShader", "AMD EPYC", "3e451ba5d2db"]) {
      expect(html).toContain(text);
    }
  });

  test("draws a kernel that computes under the ceilings of its own run", () => {
    const [first, ...others] = figuresOf(pageOf([...RUN, ...OTHER], ""));
    expect(first).toMatchObject({ kind: "roofline", arithmetic: 81.01342007424847, memory: 11.848460724539194 });
    expect(first!.marks[0]).toMatchObject({ number: 1, label: "matmul 128x2304x768", intensity: 452984832 / 8659980 });
    expect(first!.marks).toHaveLength(
      lavapipe.rows.filter(({ flops, type }) => type === "kernel" && flops! > 0).length,
    );
    expect(others.map(({ kind }) => kind)).toEqual(["latency", "shares"]); // the second run timed no kernels
    expect(others[0]!.marks.map(({ group }) => group)).toContain("mini 4x256 f32 (B)");
  });

  test("marks the engine's choice, where results tell it", () => {
    expect(pageOf(RUN, "")).not.toContain(LEGEND);
    const [one, ...others] = RUN.filter(({ type }) => type === "kernel");
    const html = pageOf([ORIGIN, { ...one!, chosen: true } as Row, ...others], "");
    expect(html).toContain(LEGEND);
    expect(html.match(/<td class="text">[^<]* \*<\/td>/g)).toHaveLength(1);
    const titles = figuresOf(html)[0]!.marks.map(({ title }) => String(title));
    expect(titles.filter((title) => title.includes(", the engine's choice\n"))).toHaveLength(1);
  });

  test("tells how the ceilings were measured, and warns of those under load", () => {
    const under = (others: number): string =>
      pageOf(
        RUN.map((row) => (row.type === "ceiling" ? { ...row, timing: { ...row.timing, others } } : row)),
        "",
      );
    expect(under(0.02)).toMatch(/<dt>memory ceiling<\/dt><dd>11\.8 GB\/s, gpu clock, noise \S+, others 2\.0%<\/dd>/);
    expect(under(0.02)).not.toContain("Warning");
    expect(under(0.4)).toContain("Warning: other programs took 40% of the machine");
  });

  test("sums the shares of a forward to one for each bar", () => {
    const { marks } = figuresOf(pageOf(OTHER, "")).find(({ kind }) => kind === "shares")!;
    const bars = [...new Set(marks.map(({ bar }) => bar))];
    expect(bars).toHaveLength(4);
    for (const bar of bars) {
      const parts = marks.filter((part) => part.bar === bar);
      expect(parts.reduce((sum, { share }) => sum + Number(share), 0)).toBeCloseTo(1);
    }
  });

  test("marks the engine of this repository and those of the CPU, fastest first", () => {
    const peers = [peer("slow", "webgpu", 80), peer("bert-webgpu", "webgpu", 20), peer("plain", "cpu", 40)];
    const { marks } = figuresOf(pageOf([ORIGIN, ...peers], "")).find(({ kind }) => kind === "peers")!;
    expect(marks.map(({ label, mark }) => [label, mark])).toEqual([
      ["bert-webgpu on GPU", "ours"],
      ["plain (CPU)", "cpu"],
      ["slow on GPU", "webgpu"],
    ]);
  });

  test("asks the network nothing", () => {
    const html = pageOf([...RUN, peer("a", "cpu", 1)], "");
    expect(html).toContain(`content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"`);
    expect(html).not.toMatch(/\b(src|href|action|srcset)\s*=|@import|url\(|https?:|<link|<img|<iframe/i);
  });

  test("keeps what a name says out of its markup", () => {
    const name = `</script><script>alert("1")</script><!--<b title='&'>`;
    const html = pageOf([ORIGIN, peer(name, "cpu", 1), { type: "failure", name, message: name }], "draw()");
    expect(jsonOf(html)).toContainEqual({
      rows: [ORIGIN, peer(name, "cpu", 1), { type: "failure", name, message: name }],
    });
    expect(html.match(/<script>/g)).toHaveLength(1);
    expect(html).not.toContain("<b title");
    expect(html).not.toContain("<!--");
  });

  test("shows failures", () => {
    const failure: Row = { type: "failure", name: "matmul f16", message: "is off by 0.3, 0.1 allowed" };
    expect(pageOf([ORIGIN, failure], "")).toContain("<b>matmul f16</b>: is off by 0.3, 0.1 allowed");
    expect(pageOf([ORIGIN], "")).not.toContain("Failed, so not timed");
  });

  test.each([
    ["kernels", "kernel"],
    ["models", "model"],
  ] as const)("has no section of %s without a row of them, and no plot", (kind, type) => {
    const without = pageOf(
      RUN.filter((row) => row.type !== type),
      "",
    );
    expect(pageOf(RUN, "")).toContain(HEADINGS[kind]);
    expect(without).not.toContain(HEADINGS[kind]);
    expect(without).not.toContain(HEADINGS.peers);
    for (const { marks } of figuresOf(without)) expect(marks).not.toEqual([]);
    expect(figuresOf(pageOf([ORIGIN], ""))).toEqual([]);
    expect(figuresOf(pageOf([], ""))).toEqual([]);
  });

  test("gives each plot a name and a table", () => {
    const html = pageOf(RUN, "");
    const plots = html.match(/<div class="plot" role="img" aria-label="Plot: [^"]+">/g)!;
    expect(plots).toHaveLength(figuresOf(html).length);
    expect(html.match(/<table>/g)).toHaveLength(plots.length);
  });
});

describe("the script", () => {
  let script = "";
  beforeAll(async () => {
    const page = join(ROOT, "bench/html/page.ts");
    const { outputFiles } = await build({
      entryPoints: [page],
      bundle: true,
      minify: true,
      write: false,
      format: "iife",
    });
    script = outputFiles[0]!.text;
  });

  test("imports nothing, fetches nothing, and ends no element", () => {
    expect(script).not.toMatch(/\bfetch\(|XMLHttpRequest|\bimport\(|\brequire\(|WebSocket|<\/script/);
    expect(script.length).toBeLessThan(350_000);
    expect(pageOf(RUN, script)).toContain(script);
  });

  test.skipIf(!existsSync(join(ROOT, "dist/report.js")))("comes from the build (needs `node build.mjs`)", async () => {
    expect((await htmlReport(RUN)).length).toBeGreaterThan(100_000);
  });
});
