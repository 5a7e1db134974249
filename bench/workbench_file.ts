/** A kernel author's file: WGSL, and in its comments what the bench must know to run it. */

import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { type Binding, bindingsOf, type Constant, paramsOf, type Scalar } from "../src/kernels/kernel.ts";
import { joinShared } from "./workbench_shared.ts";

export interface AuthorFile {
  /** `matmul_mine.wgsl` */
  readonly name: string;
  /** With what it imports. */
  readonly source: string;
  readonly bindings: readonly Binding[];
  /** `// claims: matmul gelu` */
  readonly claims: string | undefined;
  /** `// covers: n 8, m 4`: what a workgroup covers of which sizes, in the order of the launch's dimensions. */
  readonly covers: readonly (readonly [size: string, covered: number])[] | undefined;
}

/** @throws RangeError for a folder, and as `parseAuthorFile` */
export async function readAuthorFile(path: string): Promise<AuthorFile> {
  if ((await stat(path)).isDirectory()) throw new RangeError(`${path} is a folder: name a .wgsl file in it`);
  return parseAuthorFile(basename(path), await readFile(path, "utf8"));
}

/** @throws RangeError where it imports what there is not, or cannot be run as it is declared */
export function parseAuthorFile(name: string, text: string): AuthorFile {
  const note = (word: string): string | undefined =>
    new RegExp(`^\\s*//\\s*${word}:[ \\t]*(.*?)\\s*$`, "m").exec(text)?.[1];
  const source = joinShared(name, text);
  const bindings = bindingsOf(source);
  requireMain(name, source);
  requireParams(name, source, bindings);
  const covers = note("covers");
  return {
    name,
    source,
    bindings,
    claims: note("claims"),
    covers: covers === undefined ? covers : parseCovers(covers),
  };
}

function parseCovers(text: string): [size: string, covered: number][] {
  const parts = text.split(",").map((part) => /^(\w+)\s+([1-9]\d*)$/.exec(part.trim()));
  if (parts.length > 3 || parts.includes(null)) {
    throw new RangeError(`"// covers: ${text}": one to three names with a number each are wanted, as in "n 8, m 8"`);
  }
  return parts.map((part) => [part![1]!, Number(part![2])]);
}

function requireMain(name: string, source: string): void {
  const plain = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/[^\n]*/g, "");
  const entries = [...plain.matchAll(/@compute\b[^{;]*?\bfn\s+(\w+)/g)].map(([, entry]) => entry!);
  if (entries.includes("main")) return;
  const found = entries.length > 0 ? `its @compute functions are ${entries.join(", ")}` : "it has no @compute function";
  throw new RangeError(`${name} has no entry point main: ${found}; name the one to run "fn main"`);
}

/** The bench fills one uniform, by the names of its fields. */
function requireParams(name: string, source: string, bindings: readonly Binding[]): void {
  const uniforms = bindings.filter(({ access }) => access === "uniform");
  const [first] = uniforms;
  if (first === undefined) return;
  const remedy = 'write "struct Params { n: u32 }" with u32, i32 or f32 fields, and "var<uniform> params: Params"';
  if (uniforms.length > 1) {
    const names = uniforms.map((each) => each.name).join(", ");
    throw new RangeError(`${name} binds ${uniforms.length} uniforms, ${names}; one is filled: ${remedy}`);
  }
  if (first.type === "Params" && fieldsOf(name, source).length > 0) return;
  const lacking = first.type === "Params" ? "declares no struct Params" : "does not declare it as a struct Params";
  throw new RangeError(`${name} binds a uniform, ${first.name}: ${first.type}, but ${lacking}: ${remedy}`);
}

function fieldsOf(name: string, source: string): readonly unknown[] {
  try {
    return paramsOf(source);
  } catch (error) {
    throw new RangeError(`${name}: ${(error as Error).message}`);
  }
}

/** Whether the source declares a top-level `const` or, for a type's name, an `alias` that can be re-valued. */
export function declares(source: string, name: string, value: Constant): boolean {
  const keyword = typeof value === "string" ? "alias" : "const";
  return new RegExp(`^${keyword}\\s+${name}\\s*(?::\\s*\\w+\\s*)?=`, "m").test(source);
}

/** What an element of a binding is stored as. */
export function storedAs(file: AuthorFile, { type }: Binding, dtype: Scalar): Scalar | "u32" {
  if (/u32|vec[234]u/.test(type)) return "u32";
  if (/<f32>|vec[234]f/.test(type)) return "f32";
  if (/f16|vec[234]h/.test(type)) return "f16";
  return declares(file.source, "Scalar", dtype) ? dtype : "f32";
}
