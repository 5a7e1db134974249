/** AMD's families of GPUs, and the processes that compile for them. */

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DeviceTraits } from "../../src/kernels/kernel.ts";
import { FAULT, MARK, type Shaders } from "./marks.ts";

/** As RADV_FORCE_FAMILY names them. */
export const FAMILIES = { navi21: "RDNA2", navi31: "RDNA3", gfx1201: "RDNA4" } as const;
export type Family = keyof typeof FAMILIES;

/** What RADV is, for the origin of the figures. */
export interface Target {
  readonly family: Family;
  readonly traits: DeviceTraits;
  readonly driver: string;
}

export interface Toolchain {
  /** @throws Error where RADV does not know the family, or is not there */
  target(family: Family): Target;
  /** What RADV prints of each, or why it does not compile. @param wave subgroups of so many threads, where it is not left to RADV */
  compile(family: Family, shaders: Shaders, wave?: 32): readonly { readonly text: string; readonly fault?: string }[];
}

/**
 * @param root of the repository, where the C compiler's output is kept: the root of another Mesa may have no compiler
 * @param compiler the script of compiler.ts
 */
export function openToolchain(root: string, compiler: string): Toolchain {
  const driver = driverIn(root);
  const run = (family: Family, wave: 32 | undefined, args: readonly string[]): { stdout: string; stderr: string } => {
    const env = {
      ...process.env,
      RADV_FORCE_FAMILY: family,
      VK_DRIVER_FILES: driver,
      VK_ICD_FILENAMES: driver,
      RADV_DEBUG: args.length > 0 ? "asm,shaderstats,nocache" : "nocache",
      ...(wave && { RADV_PERFTEST: "cswave32" }),
    };
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [compiler, ...args], {
      env,
      encoding: "utf8",
      maxBuffer: 1 << 30,
    });
    if (status === 0) return { stdout, stderr };
    throw new Error(`RADV as ${family} ended with ${status ?? signal}: ${stderr.trim().slice(-400)}`);
  };
  return {
    target(family) {
      const { traits, adapter } = JSON.parse(run(family, undefined, []).stdout);
      return { family, traits, driver: adapter.description };
    },
    compile(family, shaders, wave) {
      const folder = mkdtempSync(join(tmpdir(), "bert-webgpu-isa-"));
      try {
        const file = join(folder, "shaders.json");
        writeFileSync(file, JSON.stringify(shaders));
        const parts = run(family, wave, [file])
          .stderr.split(new RegExp(`^${MARK}\\d+$`, "m"))
          .slice(1);
        return parts.map((text) => {
          const fault = new RegExp(`^${FAULT}(.*)$`, "m").exec(text)?.[1];
          return fault === undefined ? { text } : { text, fault };
        });
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  };
}

/** The manifest of the driver, compiled where that is not done. @throws Error without a C compiler */
function driverIn(root: string): string {
  const folder = join(root, "dist/checks/isa");
  const library = join(folder, "driver.so");
  const manifest = join(folder, "driver.json");
  if (!existsSync(library)) {
    mkdirSync(folder, { recursive: true });
    try {
      execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, join(root, "bench/isa/driver.c"), "-ldl"]);
    } catch (error) {
      throw new Error(
        `bench/isa/driver.c needs a C compiler, cc: ${(error as Error).message}; Debian: apt install gcc`,
      );
    }
  }
  const ICD = { library_path: library, api_version: "1.4.305" };
  writeFileSync(manifest, JSON.stringify({ file_format_version: "1.0.0", ICD }));
  return manifest;
}
