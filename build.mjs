/**
 * Builds dist/ with esbuild. `--types` adds the declarations with tsc, which only the package needs.
 *
 *   dist/index.js, kernels.js, train.js   one file each, for bundlers: no imports, WGSL inlined, what is not used falls away
 *   dist/*.min.js                    the same for pages without a bundler
 *   dist/node/*.js                   for Node, sharing chunks, so that every entry means the same Engine
 *   dist/checks/*.js                 conformance, reference, the checks on wgpu, ours of bench peers --train, isa; not part of the package
 *   dist/types/*.d.ts                the declarations
 *   dist/report.js                   what draws the plots in HTML reports
 *   dist/kernels/NAME.wgsl           each kernel with all that it imports, to paste into any WebGPU page
 *   dist/examples/                   the examples as a web site, what serves it, and those for Node; not part of the package
 */

import { chmod, copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const ROOT = import.meta.dirname;
const DIST = join(ROOT, "dist");

const { writeDeclarations } = await typescript("declarations.ts");
const typed = process.argv.includes("--types") ? writeDeclarations(ROOT, join(DIST, "types")) : 0; // meanwhile
const { kernelTexts, wgslModules } = await typescript("wgsl.ts");
const { bareWgsl } = await typescript("bare_wgsl.ts");
// minified, a module would lose the PURE annotations by which a bundler leaves out what an app does not use
const modules = [
  await browserModule("index", "src/index.ts"),
  await browserModule("kernels", "src/kernels/index.ts"),
  await browserModule("train", "src/train/index.ts"),
  await browserModule("index.min", "src/index.ts", { minify: true }),
  await browserModule("kernels.min", "src/kernels/index.ts", { minify: true }),
];
const page = await bundle({
  entryPoints: { report: "bench/html/page.ts" },
  outdir: "dist",
  platform: "browser",
  target: "es2022",
  format: "iife",
  minify: true,
  metafile: true,
});
const node = await bundle({
  entryPoints: {
    index: "src/node/index.ts",
    browser: "src/index.ts",
    kernels: "src/kernels/index.ts",
    train: "src/train/index.ts",
    main: "src/node/main.ts",
    parquet_worker: "src/node/data/parquet_worker.ts",
    bench: "bench/main.ts",
    doctor: "bench/doctor/main.ts",
    doctor_worker: "bench/doctor/worker.ts",
  },
  outdir: "dist/node",
  platform: "node",
  target: "node20",
  splitting: true,
  chunkNames: "chunk-[hash]",
  packages: "external",
});

const checks = await bundle({
  entryPoints: {
    conformance: "test/conformance/main.ts",
    reference: "test/reference/main.ts",
    wgpu: "test/wgpu/main.ts",
    train_ours: "bench/peers/train_ours.ts",
    isa: "bench/isa/main.ts",
    isa_compiler: "bench/isa/compiler.ts",
  },
  outdir: "dist/checks",
  platform: "node",
  target: "node20",
  packages: "external",
});

const examples = await bundle({
  entryPoints: await examplePages(),
  outdir: "dist/examples",
  outbase: "examples",
  platform: "browser",
  target: "es2022",
  minify: true,
});
const scripts = await bundle({
  entryPoints: ["examples/start.ts", "examples/rotten-tomatoes/train.ts"],
  outdir: "dist/examples",
  outbase: "examples",
  platform: "node",
  target: "node20",
});

const notices = await licences(page.metafile);
const pageFiles = page.outputFiles.map(({ path, text }) => ({ path, contents: `/*\n${notices}\n*/\n${text}` }));

await write(DIST, [...modules.flatMap(({ outputFiles }) => outputFiles), ...pageFiles], ".js");
await write(join(DIST, "node"), node.outputFiles, ".js");
await write(join(DIST, "checks"), checks.outputFiles, ".js");
await makeExecutable(join(DIST, "node/main.js"));
const texts = [...kernelTexts(ROOT)].map(([name, contents]) => ({
  path: join(DIST, `kernels/${name}.wgsl`),
  contents,
}));
await write(join(DIST, "kernels"), texts, ".wgsl");
await writeExamples([...examples.outputFiles, ...scripts.outputFiles]);
await report(join(DIST, "index.min.js"));
if ((await typed) !== 0) process.exit(1); // tsc has said why

/** One file for browsers. Shaders come first, then what belongs together: 2% less after gzip, which looks back 32 kB. */
async function browserModule(name, entry, options) {
  const shaders = (await readdir(join(ROOT, "src/kernels"), { recursive: true })).filter((path) =>
    path.endsWith(".wgsl"),
  );
  const first = [
    ...shaders.sort().map((path) => `src/kernels/${path.replaceAll("\\", "/")}`),
    ...["src/kernels/index.ts", "src/runtime/ops.ts", "src/runtime/engine.ts"],
    ...["src/files/checkpoint.ts", "src/files/hub.ts", "src/bert/tokenizer/load.ts"],
  ];
  const contents = [...first.map((path) => `import "./${path}";`), `export * from "./${entry}";`].join("\n");
  return bundle({
    stdin: { contents, resolveDir: ROOT },
    outfile: `dist/${name}.js`,
    logOverride: { "ignored-bare-import": "silent" }, // they are for the order alone
    platform: "browser",
    target: "es2022",
    plugins: [wgslModules(ROOT, bareWgsl)],
    ...options,
  });
}

async function bundle(options) {
  try {
    const plugins = [wgslModules(ROOT)];
    return await build({ absWorkingDir: ROOT, bundle: true, write: false, format: "esm", plugins, ...options });
  } catch {
    process.exit(1); // esbuild has said why
  }
}

/** What a file of TypeScript exports that imports nothing but Node's own modules. */
async function typescript(file) {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, file)],
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
  });
  return import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
}

/** The licences of the packages in a bundle, which copies of them must carry. Those that share a text are listed above it. */
async function licences({ inputs }) {
  const folders = Object.keys(inputs).map((path) => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  const byTerms = new Map();
  for (const folder of new Set(folders.filter(Boolean))) {
    const file = (await readdir(join(ROOT, folder))).find((name) => /^licen[cs]e/i.test(name));
    if (!file) throw new Error(`${folder} holds no licence, which dist/report.js would have to carry`);
    const lines = (await readFile(join(ROOT, folder, file), "utf8")).trim().split("\n");
    const copyright = lines.filter((line) => /^\s*copyright/i.test(line)).map((line) => line.trim());
    const terms = lines.filter((line) => !/^\s*copyright/i.test(line)).join(" ");
    const key = terms.replace(/\s+/g, " ").replaceAll("*/", "").trim();
    byTerms.set(key, [
      ...(byTerms.get(key) ?? []),
      `${folder.replace(/.*node_modules\//, "")} ${copyright.join(" ")}`.trim(),
    ]);
  }
  return [...byTerms].map(([terms, packages]) => `${packages.join("\n")}\n${terms}`).join("\n\n");
}

/** Writes the files and removes what an earlier build left, without a moment in which the folder is empty. */
async function write(folder, files, extension) {
  await mkdir(folder, { recursive: true });
  for (const { path, contents } of files) await writeFile(path, contents);
  const written = new Set(files.map(({ path }) => path));
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (name.endsWith(extension) && !written.has(path)) await rm(path, { force: true });
  }
}

/** The scripts that the pages in examples/ load: main.ts of each, and worker.ts where there is one. */
async function examplePages() {
  const files = await readdir(join(ROOT, "examples"), { recursive: true });
  return files.filter((name) => /^[\w-]+[/\\](main|worker)\.ts$/.test(name)).map((name) => join("examples", name));
}

/** Bundles, and beside them the pages and style sheets as they are. */
async function writeExamples(bundles) {
  const out = join(DIST, "examples");
  await rm(out, { recursive: true, force: true });
  for (const { path, contents } of bundles) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, contents);
  }
  for (const name of await readdir(join(ROOT, "examples"), { recursive: true })) {
    if (!/\.(html|css|svg|txt)$/.test(name)) continue;
    await mkdir(dirname(join(out, name)), { recursive: true });
    await copyFile(join(ROOT, "examples", name), join(out, name));
  }
}

async function makeExecutable(file) {
  await writeFile(file, `#!/usr/bin/env node\n${await readFile(file, "utf8")}`);
  await chmod(file, 0o755);
}

async function report(file) {
  const bytes = await readFile(file);
  const kilobytes = ({ length }) => `${(length / 1000).toFixed(1)} kB`;
  console.log(`${relative(ROOT, file)} ${kilobytes(bytes)}, gzip ${kilobytes(gzipSync(bytes))}`);
}
