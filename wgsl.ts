/**
 * How build.mjs, vitest and tests that bundle bring .wgsl files into JavaScript: `import wgsl from "./matmul.wgsl"` is
 * the whole text, with all that the file imports (src/kernels/imports.ts); `import files from "wgsl-files"` is each file
 * of src/kernels as it lies there, by its path.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import type { Plugin } from "esbuild";
import { joinFiles, resolveImports, type WgslFile } from "./src/kernels/imports.ts";

const FILES = "wgsl-files";

/** @param root of the repository */
export function filesOf(root: string, path: string): WgslFile[] {
  const folder = join(root, "src/kernels");
  return resolveImports(relative(folder, path).split(sep).join("/"), (name) => {
    const file = join(folder, name);
    return existsSync(file) ? readFileSync(file, "utf8") : undefined;
  });
}

/** The text of each kernel by its name: files that have an entry point, with all that they import. */
export function kernelTexts(root: string): Map<string, string> {
  const texts = new Map<string, string>();
  for (const path of Object.keys(ownTexts(root))) {
    const text = joinFiles(filesOf(root, join(root, "src/kernels", path)));
    if (!text.includes("@compute")) continue;
    const name = path.replace(/^.*\/|\.wgsl$/g, "");
    if (texts.has(name)) throw new RangeError(`there are two kernels ${name}: their packaged files would be one`);
    texts.set(name, text);
  }
  return texts;
}

/** Each file as it lies in src/kernels. */
function ownTexts(root: string): Record<string, string> {
  const folder = join(root, "src/kernels");
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".wgsl"));
  return Object.fromEntries(
    paths.sort().map((path) => [path.split(sep).join("/"), readFileSync(join(folder, path), "utf8")]),
  );
}

/**
 * For esbuild. Each file is a module of its own, so that what several kernels share stands once in a bundle, and what
 * no kernel of an app imports falls away.
 * @param bare changes each text, for bundles in which a byte counts
 */
export function wgslModules(root: string, bare: (text: string) => string = (text) => text): Plugin {
  return {
    name: "wgsl",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^wgsl-files$/ }, () => ({ path: FILES, namespace: FILES }));
      onLoad({ filter: /./, namespace: FILES }, () => ({ contents: JSON.stringify(ownTexts(root)), loader: "json" }));
      onLoad({ filter: /\.wgsl$/, namespace: "file" }, ({ path }) => {
        const files = filesOf(root, path);
        const imports = files.map((file, i) => `import file${i} from ${JSON.stringify(`wgsl-file:${file.path}`)};`);
        const names = files.map((_, i) => `file${i}`);
        const whole = names.length > 1 ? `/* @__PURE__ */ [${names}].join("\\n")` : names[0];
        return { contents: [...imports, `export default ${whole};`].join("\n"), pluginData: files };
      });
      onResolve({ filter: /^wgsl-file:/ }, ({ path, pluginData }) => {
        const file = (pluginData as WgslFile[]).find((file) => path.endsWith(`:${file.path}`))!;
        return { path: file.path, namespace: "wgsl-file", pluginData: file };
      });
      onLoad({ filter: /./, namespace: "wgsl-file" }, ({ pluginData }) => ({
        contents: bare((pluginData as WgslFile).text),
        loader: "text",
      }));
    },
  };
}

/** For vitest: a plugin of Vite. */
export function wgslTexts(root: string): {
  name: string;
  resolveId(id: string): string | undefined;
  load(id: string): string | undefined;
} {
  return {
    name: "wgsl",
    resolveId: (id) => (id === FILES ? `\0${FILES}` : undefined),
    load(id) {
      if (id === `\0${FILES}`) return `export default ${JSON.stringify(ownTexts(root))}`;
      return id.endsWith(".wgsl") ? `export default ${JSON.stringify(joinFiles(filesOf(root, id)))}` : undefined;
    },
  };
}
