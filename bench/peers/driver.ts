/** Which Vulkan driver the engines see, so that all of them compute on the same adapter, whichever Dawn they carry. */

import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unpackSwiftShader } from "../../src/node/swiftshader.ts";

const MANIFEST_FOLDERS = ["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d"];

/**
 * Environment variables for an adapter of `bench --adapter`. A software adapter is made the only one there is; for any
 * other choice the engines take the system's best.
 * @throws Error when the software adapter asked for is not here
 */
export async function driverEnvironment(choice: string): Promise<Record<string, string>> {
  const manifest = await manifestOf(choice.toLowerCase());
  return {
    // what a first run costs must not depend on the runs before
    MESA_SHADER_CACHE_DISABLE: "true",
    __GL_SHADER_DISK_CACHE: "0",
    // Mesa complains where it is missing
    XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir(),
    ...(manifest === undefined ? {} : { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest }),
  };
}

async function manifestOf(choice: string): Promise<string | undefined> {
  if (choice === "swiftshader") return (await unpackSwiftShader()).manifest;
  if (!["lavapipe", "llvmpipe", "software"].includes(choice)) return undefined;
  for (const folder of MANIFEST_FOLDERS) {
    const names = await readdir(folder).catch(() => []);
    const name = names.find((each) => /^lvp_icd.*\.json$/.test(each));
    if (name) return join(folder, name);
  }
  throw new Error(
    `--adapter ${choice}: no lvp_icd*.json in ${MANIFEST_FOLDERS.join(", ")}; install mesa-vulkan-drivers, or take --adapter swiftshader`,
  );
}
