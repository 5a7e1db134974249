/** SwiftShader, a Vulkan driver that computes on the CPU, out of the npm package `@sparticuz/chromium`. */

import { createHash, randomUUID } from "node:crypto";
import { lstat, mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { writeWhole } from "./data/fresh_file.ts";

export interface SwiftShader {
  /** The manifest by which a Vulkan loader finds the driver. */
  readonly manifest: string;
  /** A Vulkan loader, for systems that have none. */
  readonly loader: string;
}

const PACKAGE = "@sparticuz/chromium";
const MANIFEST = "vk_swiftshader_icd.json";
const LOADER = "libvulkan.so.1";
const WANTED: readonly string[] = ["libvk_swiftshader.so", MANIFEST, LOADER];
/** Of each file, as `sha256sum` lists them; written last. */
const CHECKSUMS = "SHA256SUMS";

/**
 * Unpacks the driver into the user's cache, once. Later calls check what lies there by its checksums: unpacking to
 * compare would take a tenth of a second at each start.
 * @throws Error when the package is not installed or lacks a file, or when this is not Linux on x64.
 */
export async function unpackSwiftShader(cacheFolder?: string): Promise<SwiftShader> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(`${PACKAGE} carries SwiftShader for linux x64, this is ${process.platform} ${process.arch}`);
  }
  const packed = await readFile(await findArchive());
  const parent = cacheFolder ?? (await ownCacheFolder());
  const folder = join(parent, `swiftshader-${sha256(packed).slice(0, 16)}`);
  if (!(await isIntact(folder))) {
    const files = readTar(await promisify(brotliDecompress)(packed));
    for (const name of WANTED) {
      if (!files.has(name)) {
        throw new Error(`swiftshader.tar.br of ${PACKAGE} holds no ${name}; install another version`);
      }
    }
    await unpack(files, parent, folder);
  }
  return { manifest: join(folder, MANIFEST), loader: join(folder, LOADER) };
}

/** bin/swiftshader.tar.br, found from the package's entry point because it exports nothing else. */
async function findArchive(): Promise<string> {
  let folder: string;
  try {
    folder = dirname(createRequire(import.meta.url).resolve(PACKAGE));
  } catch {
    throw new Error(`${PACKAGE} is not installed`);
  }
  for (let parent = dirname(folder); ; folder = parent, parent = dirname(folder)) {
    const archive = join(folder, "bin", "swiftshader.tar.br");
    if (await stat(archive).catch(() => undefined)) return archive;
    if (parent === folder) throw new Error(`${PACKAGE} holds no bin/swiftshader.tar.br; install another version`);
  }
}

/** Beside the final place, then renamed: a process that is killed, or another that unpacks too, leaves no half. */
async function unpack(files: ReadonlyMap<string, Buffer>, parent: string, folder: string): Promise<void> {
  const draft = join(parent, `draft-${randomUUID()}`);
  await mkdir(draft, { recursive: true, mode: 0o700 });
  try {
    for (const name of WANTED) await writeWhole(join(draft, name), files.get(name)!);
    const sums = checksums((name) => files.get(name)!);
    await writeWhole(join(draft, CHECKSUMS), sums);
    await rename(draft, folder).catch(async (error: unknown) => {
      if (await isIntact(folder)) return; // another process was first
      await rename(folder, `${draft}-spoilt`).catch(() => {});
      await rename(draft, folder).catch(async () => {
        if (!(await isIntact(folder))) throw error;
      });
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
    await rm(`${draft}-spoilt`, { recursive: true, force: true });
  }
}

/** Whether every file is as it was unpacked, since what lies here is loaded into the process as native code. */
async function isIntact(folder: string): Promise<boolean> {
  const contents = new Map<string, Buffer>();
  for (const name of [...WANTED, CHECKSUMS]) {
    const found = await readFile(join(folder, name)).catch(() => undefined);
    if (!found) return false;
    contents.set(name, found);
  }
  return contents.get(CHECKSUMS)!.toString() === checksums((name) => contents.get(name)!);
}

function checksums(contentOf: (name: string) => Buffer): string {
  return WANTED.map((name) => `${sha256(contentOf(name))}  ${name}\n`).join("");
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** `bert-webgpu` in the user's cache, else in the system's temporary folder under a name nobody else can write to. */
async function ownCacheFolder(): Promise<string> {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const uid = process.getuid?.() ?? 0;
  for (const folder of [join(cache, "bert-webgpu"), join(tmpdir(), `bert-webgpu-${uid}`)]) {
    const made = await mkdir(folder, { recursive: true, mode: 0o700 }).then(
      () => Promise.all([stat(folder), lstat(folder)]), // others may plant a link in the temporary folder
      () => undefined,
    );
    if (made?.every((found) => found.uid === uid) && (made[0].mode & 0o002) === 0) return folder;
  }
  throw new Error(`neither ${cache} nor ${tmpdir()} takes a folder to unpack SwiftShader into; set XDG_CACHE_HOME`);
}

/** The files of an uncompressed POSIX tar, by name. */
function readTar(tar: Buffer): Map<string, Buffer> {
  const BLOCK = 512;
  const files = new Map<string, Buffer>();
  for (let at = 0; at + BLOCK <= tar.length && tar[at] !== 0; ) {
    const field = (from: number, length: number): string =>
      tar.toString("latin1", at + from, at + from + length).replace(/\0.*$/s, "");
    const size = Number.parseInt(field(124, 12), 8);
    if (!(size >= 0)) throw new Error(`swiftshader.tar.br of ${PACKAGE} is damaged at byte ${at}; install it again`);
    files.set(field(0, 100).replace(/^\.\//, ""), tar.subarray(at + BLOCK, at + BLOCK + size));
    at += BLOCK * (1 + Math.ceil(size / BLOCK));
  }
  return files;
}
