/** The package's type declarations, which must hold in TypeScript 5.9 to 7, with the DOM or without, whatever its settings. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/**
 * Types of the platform that a program may lack. WebGPU's are TypeScript's own from 6.0 on, in its DOM; @webgpu/types, which
 * clashes with those, needs the DOM itself. So what there is where the package is used is taken, and nothing asked for else.
 */
const PLATFORM = /\b(?:GPU\w*|AbortSignal|Blob|Cache|Fetch|File|FileSystemDirectoryHandle|RequestInit|Response|URL)\b/g;
/** Those that no global value stands for, by what takes them. */
const TAKEN_BY: Readonly<Record<string, string>> = {
  GPUDeviceDescriptor: "{ GPUAdapter: { prototype: { requestDevice(descriptor?: infer T): unknown } } }",
  GPUComputePassDescriptor: "{ GPUCommandEncoder: { prototype: { beginComputePass(descriptor?: infer T): unknown } } }",
  Fetch: "{ fetch: infer T }",
  RequestInit: "{ Request: new (input: never, init?: infer T) => unknown }",
};

/**
 * Writes the declarations of `root`'s sources into `folder`, which is emptied first.
 * @returns the exit status of tsc, which has said what is wrong
 */
export async function writeDeclarations(root: string, folder: string): Promise<number> {
  await rm(folder, { recursive: true, force: true });
  const tsc = join(dirname(createRequire(join(root, "package.json")).resolve("typescript/package.json")), "bin/tsc");
  const flags = [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", folder];
  const [status] = await once(spawn(process.execPath, flags, { cwd: root, stdio: "inherit" }), "close");
  if (status !== 0) return Number(status ?? 1);
  const all = new Set<string>();
  for (const name of await readdir(folder, { recursive: true })) {
    if (!name.endsWith(".d.ts")) continue;
    const text = await readFile(join(folder, name), "utf8");
    // tsc rewrites the extensions of imports in JavaScript only
    const rewritten = text
      .replace(/((?:\bfrom|\bimport)\s*\(?\s*"\.[^"]*)\.ts"/g, '$1.js"')
      .replace(/typeof (?:globalThis\.)?fetch\b/g, "Fetch")
      // what is Node's own stays inside, and a program may lack its types
      .replace(/import (?:type )?\{ (?:type )?(\w+) \} from "node:[^"]+";/g, "type $1 = any;");
    if (/"[^"]+\.wgsl"/.test(rewritten))
      throw new Error(`dist/types/${name} imports a .wgsl file: give its export a type`);
    const used = new Set(rewritten.replace(/\/\*.*?\*\//gs, "").match(PLATFORM));
    for (const type of used) all.add(type);
    const platform = `${"../".repeat(name.split(/[/\\]/).length - 1) || "./"}platform.js`;
    const imported = used.size > 0 ? `import type { ${[...used].sort().join(", ")} } from "${platform}";\n` : "";
    await writeFile(join(folder, name), imported + rewritten);
  }
  const types = [...all].sort().map((type) => {
    const place = TAKEN_BY[type] ?? `{ ${type}: { prototype: infer T } }`;
    return `export type ${type} = typeof globalThis extends ${place} ? NonNullable<T> : any;\n`;
  });
  await writeFile(join(folder, "platform.d.ts"), types.join(""));
  return 0;
}
