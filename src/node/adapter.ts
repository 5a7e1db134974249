/** Which GPU to use: hardware, then what the system offers in software, then the bundled SwiftShader. */

import { adapterSummary } from "../runtime/device.ts";
import { unpackSwiftShader } from "./swiftshader.ts";

/**
 * `auto`: hardware, else software. `hardware`, `software`: only that. Anything else is looked for, ignoring case, in
 * the adapters' name, vendor, architecture and driver: `nvidia`, `llvmpipe`, `swiftshader`. `null` is Dawn's backend
 * that validates and computes nothing; it is never chosen unless named.
 */
export type AdapterChoice = "auto" | "hardware" | "software" | "null" | (string & {});

/** The part of the npm package `webgpu` that is used. */
export interface Dawn {
  create(flags: string[]): GPU;
}

/**
 * Dawn's instances, by their flags and driver. This state is the process's and not ours to pass around: once an
 * instance is collected, whatever was made from it, even a buffer of a destroyed device, uses freed memory, and one for
 * each device would never be freed. Shared, they are few.
 */
const instances = new Map<string, GPU>();

/** By which a Vulkan loader is told of drivers; the second is its name before 2022. */
const DRIVER_VARIABLES = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/** No adapter of the kind asked for. */
export class NoAdapterError extends Error {
  override readonly name = "NoAdapterError";
  readonly choice: string;
  /** What was looked for and what was found instead, one line each. */
  readonly tried: readonly string[];

  constructor(choice: string, tried: readonly string[], cause?: unknown) {
    super(
      [`no GPU adapter for "${choice}":`, ...tried.map((line) => `  tried ${line}`), remedy()].join("\n"),
      cause === undefined ? undefined : { cause },
    );
    this.choice = choice;
    this.tried = tried;
  }
}

/** @throws NoAdapterError */
export async function findAdapter(
  dawn: Dawn,
  choice: AdapterChoice = "auto",
  flags: readonly string[] = [],
): Promise<GPUAdapter> {
  const tried: string[] = [];
  for (const attempt of attempts(dawn, choice.toLowerCase(), flags)) {
    const found = await attempt().catch(firstLine);
    if (typeof found !== "string") return found;
    tried.push(found);
  }
  throw new NoAdapterError(choice, tried);
}

/** WGSL's language features, which are Dawn's: of all adapters the same. Asked for after an adapter. */
export function languageFeatures(): ReadonlySet<string> | undefined {
  return instances.values().next().value?.wgslLanguageFeatures;
}

/** The places to look, in order; each gives an adapter or says why it has none. */
function attempts(dawn: Dawn, choice: string, flags: readonly string[]): (() => Promise<GPUAdapter | string>)[] {
  const system = (accepts: Accepts) => () => systemAdapter(dawn, flags, accepts);
  const bundled = () => bundledAdapter(dawn, flags);
  switch (choice) {
    case "auto":
      return [system(() => true), bundled];
    case "hardware":
      return [system((info) => !adapterSummary(info).software)];
    case "software":
      return [system((info) => adapterSummary(info).software), bundled];
    case "null":
      return [
        async () => (await request(dawn, [...flags, "backend=null"])) ?? "Dawn's null backend: not in this build",
      ];
    default: {
      const word = choice === "lavapipe" ? "llvmpipe" : choice; // Mesa's driver names its device otherwise
      const named = system((info, name) =>
        [name, info.vendor, info.architecture, info.device, info.description].some((words) =>
          words.toLowerCase().includes(word),
        ),
      );
      if (!"google swiftshader".includes(word)) return [named];
      return choosesDriver() ? [named, bundled] : [bundled, named]; // the system's other drivers need not be loaded
    }
  }
}

/** Whether an adapter will do; `name` is the driver's own spelling, of which `info.device` is an abridgement. */
type Accepts = (info: GPUAdapterInfo, name: string) => boolean;

/** The system's best adapter that is accepted. */
async function systemAdapter(dawn: Dawn, flags: readonly string[], accepts: Accepts): Promise<GPUAdapter | string> {
  if (!hasVulkanLoader()) return "the system's adapters: no Vulkan loader (libvulkan.so.1)";
  // with this preference adapters that compute on the CPU come last
  const best = await request(dawn, flags, { powerPreference: "high-performance" });
  if (!best) return "the system's adapters: none that Dawn accepts";
  if (accepts(best.info, "")) return best;
  const names = await adapterNames(dawn);
  for (const name of names) {
    const found = await request(dawn, [...flags, `adapter=${name}`]);
    if (found && accepts(found.info, name)) return found;
  }
  return `the system's adapters: only ${names.join(", ")}`;
}

/** Dawn's binding has no list of adapters; asked for one that cannot be, it rejects with their names. */
async function adapterNames(dawn: Dawn): Promise<string[]> {
  try {
    await request(dawn, ["adapter=\u0001"]);
    return [];
  } catch (error) {
    return [...String(error).matchAll(/name: '(.*)'/g)].map(([, name]) => name!);
  }
}

async function request(
  dawn: Dawn,
  flags: readonly string[],
  options?: GPURequestAdapterOptions,
  driver = "",
): Promise<GPUAdapter | undefined> {
  const key = [driver, ...flags].join("\n");
  const gpu = instances.get(key) ?? dawn.create([...flags]);
  instances.set(key, gpu);
  return (await gpu.requestAdapter(options)) ?? undefined;
}

async function bundledAdapter(dawn: Dawn, flags: readonly string[]): Promise<GPUAdapter | string> {
  const driver = await unpackSwiftShader().catch((error: unknown) => `the bundled SwiftShader: ${firstLine(error)}`);
  if (typeof driver === "string") return driver;
  const bare = !hasVulkanLoader();
  if (bare) {
    try {
      // RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE: Dawn's own dlopen then finds it by its soname. Node throws, because it
      // is no addon of Node's, and NODELETE keeps it loaded all the same.
      process.dlopen({ exports: {} }, driver.loader, 0x1102);
    } catch (error) {
      if (!registersNothing(error)) return `the bundled SwiftShader: ${firstLine(error)}`;
    }
  }
  const found = await withVulkanDriver(driver.manifest, () => request(dawn, flags, {}, driver.manifest));
  // the loader is loaded for good: without a driver it would complain on stderr when the next device is asked for
  if (bare) process.env.VK_DRIVER_FILES ??= driver.manifest;
  return found ?? "the bundled SwiftShader: Dawn does not accept it";
}

/** Whether the user names the drivers that the loader is to look for. */
function choosesDriver(): boolean {
  return DRIVER_VARIABLES.some((name) => process.env[name]);
}

/** The loader looks for drivers while `work` runs synchronously; afterwards the user's own choice is back. */
function withVulkanDriver<T>(manifest: string, work: () => T): T {
  const before = DRIVER_VARIABLES.map((name) => process.env[name]);
  for (const name of DRIVER_VARIABLES) process.env[name] = manifest;
  try {
    return work();
  } finally {
    DRIVER_VARIABLES.forEach((name, i) => {
      if (before[i] === undefined) delete process.env[name];
      else process.env[name] = before[i];
    });
  }
}

/** Whether Dawn will find Vulkan; asked beforehand because Dawn complains on stderr where it is missing. */
function hasVulkanLoader(): boolean {
  if (process.platform !== "linux") return true;
  try {
    process.dlopen({ exports: {} }, "libvulkan.so.1");
  } catch (error) {
    return registersNothing(error);
  }
  return true;
}

/** Whether `process.dlopen` loaded a library and only found that it is no addon of Node's. */
function registersNothing(error: unknown): boolean {
  return firstLine(error).includes("did not self-register");
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
}

function remedy(): string {
  switch (process.platform) {
    case "linux":
      return [
        "Install the graphics driver with its Vulkan part, or an adapter that computes on the CPU:",
        "  Debian, Ubuntu: apt install mesa-vulkan-drivers (Debian 12: from bookworm-backports); Fedora: dnf install mesa-vulkan-drivers",
        ...(process.arch === "x64"
          ? ["  without root: npm install @sparticuz/chromium, whose SwiftShader is used"]
          : []),
      ].join("\n");
    case "win32":
      return "Install a graphics driver with Direct3D 12; Windows' own software adapter needs Windows 10 or later.";
    case "darwin":
      return "macOS needs Metal: any Mac since 2012; in a virtual machine, turn on graphics acceleration.";
    default:
      return `Dawn for Node is built for Linux, macOS and Windows; this is ${process.platform}.`;
  }
}
