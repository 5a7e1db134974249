/** The architecture as a test: who may import whom, who may name what, and how long a file may be. */

import { readdirSync, readFileSync } from "node:fs";
import { join, posix, relative, sep } from "node:path";
import { describe, expect, test } from "vitest";
import manifest from "../package.json" with { type: "json" };

const ROOT = join(import.meta.dirname, "..");

/** What each may import, beside itself. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  files: [],
  kernels: [],
  runtime: ["files", "kernels"],
  bert: ["files", "kernels", "runtime"],
  train: ["files", "kernels", "runtime", "bert"],
  page: [],
  "index.ts": ["files", "kernels", "runtime", "bert", "train"],
  node: ["files", "kernels", "runtime", "bert", "train", "page", "index.ts"],
};

/** What is drawn in a report's page: its package is bundled into dist/report.js, so users install none. */
const DRAWN = "src/page/plots/";

interface SourceFile {
  /** Relative to the root, with `/`. */
  readonly path: string;
  readonly text: string;
  /** Without comments. */
  readonly code: string;
  /** As written, e.g. `../kernels/kernel.ts`, `node:fs`. */
  readonly imports: readonly string[];
}

function filesOf(folder: string, extension: RegExp): SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extension.test(entry.name))
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const text = readFileSync(path, "utf8");
      const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/[^\n]*/g, "$1");
      const imports = [...code.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)"([^"]+)"/g)].map(([, from]) => from!);
      return { path: relative(ROOT, path).split(sep).join("/"), text, code, imports };
    });
}

const sources = filesOf("src", /\.ts$/).filter(({ path }) => !path.endsWith(".d.ts"));
const layerOf = (path: string): string => path.split("/")[1]!;
const inLayers = (...layers: string[]): SourceFile[] => sources.filter(({ path }) => layers.includes(layerOf(path)));
const resolved = ({ path }: SourceFile, from: string): string => posix.join(posix.dirname(path), from);

/** Lines like `src/bert/model.ts: node:fs`, one for every find. */
function finds(files: readonly SourceFile[], find: (file: SourceFile) => Iterable<string>): string[] {
  return files.flatMap((file) => [...find(file)].map((what) => `${file.path}: ${what}`));
}
const mentions = (pattern: RegExp) => (file: SourceFile) =>
  [...file.code.matchAll(new RegExp(pattern, "gm"))].map(([match]) => match.trim());

describe("imports", () => {
  test("point to the left: files, kernels <- runtime <- bert <- train <- index <- node", () => {
    expect(sources.map(({ path }) => layerOf(path)).filter((layer) => !(layer in LAYERS))).toEqual([]);
    const wrong = finds(sources, (file) =>
      file.imports.filter((from) => {
        if (!from.startsWith(".")) return false;
        const [layer, imported] = [layerOf(file.path), layerOf(resolved(file, from))];
        return imported !== layer && !LAYERS[layer]!.includes(imported);
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("go round in no circle, of types either", () => {
    const files = [...sources, ...filesOf("bench", /\.ts$/)];
    // What imports nothing that is left cannot be in a circle: take it away until none is left.
    const left = new Map(files.map((file) => [file.path, file.imports.map((from) => resolved(file, from))]));
    for (let before = Infinity; left.size < before; ) {
      before = left.size;
      for (const [path, imports] of left) if (!imports.some((from) => left.has(from))) left.delete(path);
    }
    expect([...left.keys()]).toEqual([]);
  });

  test("of packages and of Node are in src/node alone, and of declared packages alone", () => {
    const known = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)];
    const wrong = finds(sources, ({ path, imports }) =>
      imports.filter((from) => {
        if (from.startsWith(".") || (path.startsWith(DRAWN) && from === "@observablehq/plot")) return false;
        return layerOf(path) !== "node" || !(from.startsWith("node:") || known.includes(from));
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("of what is drawn in a page are in what is drawn there alone", () => {
    const wrong = finds(sources, (file) =>
      file.imports.filter((from) => resolved(file, from).startsWith(DRAWN) && !file.path.startsWith(DRAWN)),
    );
    expect(wrong).toEqual([]);
  });

  test("of concrete kernels are in src/runtime/ops, and in src/train, which records both directions", () => {
    const wrong = finds(inLayers("files", "runtime", "bert"), (file) =>
      file.imports.filter((from) => {
        const target = resolved(file, from);
        const concrete = layerOf(target) === "kernels" && !/kernels\/(kernel|work)\.ts$/.test(target);
        return concrete && !/^src\/runtime\/ops(\.ts$|\/)/.test(file.path);
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("name siblings with .ts and shaders with .wgsl", () => {
    const local = finds(sources, ({ imports }) => imports.filter((from) => /^\.(?!.*\.(ts|wgsl)$)/.test(from)));
    expect(local).toEqual([]);
  });
});

describe("names", () => {
  test("GPU types occur in src/runtime and where src/node makes the device", () => {
    const makers = ["src/node/device.ts", "src/node/adapter.ts"];
    const others = inLayers("files", "kernels", "bert", "train", "index.ts", "node").filter(
      ({ path }) => !makers.includes(path),
    );
    expect(finds(others, mentions(/\bGPU[A-Z]\w*/))).toEqual([]);
  });

  test("WGSL is written in src/kernels alone", () => {
    const others = inLayers("files", "runtime", "bert", "train", "index.ts", "node");
    expect(finds(others, mentions(/\.wgsl"|@compute\b|@workgroup_size|var<(storage|uniform|workgroup)/))).toEqual([]);
  });

  test("Node's globals occur in src/node alone", () => {
    const browserSafe = sources.filter(({ path }) => layerOf(path) !== "node");
    expect(
      finds(browserSafe, mentions(/\bprocess\.\w+|\bBuffer\.\w+|\bnew Buffer\b|\b__dirname\b|\brequire\(/)),
    ).toEqual([]);
  });

  test("environment variables are read to find folders, drivers and the network, never as switches", () => {
    const readers = [
      "src/node/adapter.ts",
      "src/node/swiftshader.ts",
      "src/node/hub/environment.ts",
      "src/node/hub/proxy.ts",
    ];
    const others = sources.filter(({ path }) => !readers.includes(path));
    expect(finds(others, mentions(/\bprocess\.env\b.*/))).toEqual([]);
  });
});

/** Methods that change what they are called on. */
const WRITES = String.raw`\.(?:set\w*|fill|copyWithin|push|unshift|add|delete|clear|sort|reverse)\(`;

test("modules hold no state of their own", () => {
  const state = mentions(
    /^(?:export )?(?:let|var) \w+|^(?:export )?const (?!.*\b[Rr]eadonly)\w+.*= (?:new \w*(?:Map|Set)(?:<.*>)?\(\)|\[\]|\{\});/,
  );
  // nor do typed arrays and views, or whatever else is written once the module stands
  const written = ({ code }: SourceFile): string[] =>
    [...code.matchAll(/^(?:export )?const (\w+)/gm)]
      .map(([, name]) => name!)
      .filter((name) => new RegExp(`\\b${name}(?:\\[[^\\]]*\\] *(?:[-+*/|&^]?=[^=]|\\+\\+|--)|${WRITES})`).test(code));
  // the exceptions belong to the process, as these files explain: Dawn's instances, and an engine for all that name none
  expect(finds(sources, written)).toEqual(["src/node/adapter.ts: instances"]);
  expect(finds(sources, state)).toEqual([
    "src/node/adapter.ts: const instances = new Map<string, GPU>();",
    "src/node/engine.ts: const shared: { engine?: Promise<Engine> } = {};",
  ]);
});

test.each([
  ["TypeScript", 500, /\.(ts|mjs)$/],
  ["WGSL", 200, /\.wgsl$/],
])("no %s file is longer than %d lines", (_, most, extension) => {
  const long = ["src", "test", "bench", "examples"]
    .flatMap((folder) => filesOf(folder, extension))
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split("\n").length }))
    .filter(({ lines }) => lines > most);
  expect(long).toEqual([]);
});
