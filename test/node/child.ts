/** Runs a small program on the sources in a Node process of its own, to see how that process fares and ends. */

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { wgslModules } from "../../wgsl.ts";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From the last byte of output to the end of the process. */
  readonly lingered: number;
}

const ROOT = join(import.meta.dirname, "../..");

/** @param program TypeScript; may import `./src/...` and any dependency. */
export async function runProgram(program: string, env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  // within the project, so that the program finds its dependencies
  const folder = await mkdtemp(join(ROOT, "node_modules/.child-"));
  try {
    const file = join(folder, "program.mjs");
    const { outputFiles } = await build({
      stdin: { contents: program, loader: "ts", resolveDir: ROOT },
      bundle: true,
      write: false,
      platform: "node",
      format: "esm",
      packages: "external",
      plugins: [wgslModules(ROOT)],
    });
    await writeFile(file, outputFiles[0]!.contents);
    return await run(file, env);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function run(file: string, env: NodeJS.ProcessEnv): Promise<Ended> {
  const child = spawn(process.execPath, ["--expose-gc", file], { env: { ...process.env, ...env } });
  const output = { stdout: "", stderr: "" };
  let last = performance.now();
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
      last = performance.now();
    });
  }
  return new Promise((resolve, reject) => {
    let lingered = 0;
    child.on("error", reject);
    child.on("exit", () => {
      lingered = performance.now() - last;
    });
    child.on("close", (code) => resolve({ code, ...output, lingered }));
  });
}
