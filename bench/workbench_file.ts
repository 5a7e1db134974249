/** A kernel author's file: WGSL, and in its comments what the bench must know to run it. */

import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { type Binding, bindingsOf, type Constant, paramsOf, type Scalar } from "../src/kernels/kernel.ts";
import { evaluateList } from "./workbench_expression.ts";
import { joinShared } from "./workbench_shared.ts";

export interface AuthorFile {
  /** `matmul_mine.wgsl` */
  readonly name: string;
  /** With what it imports. */
  readonly source: string;
  readonly bindings: readonly Binding[];
  /** What the comments say, by their first word: claims, workgroups, params, lengths. */
  readonly notes: Readonly<Record<string, string>>;
}

/** @throws RangeError for a folder, and as `parseAuthorFile` */
export async function readAuthorFile(path: string): Promise<AuthorFile> {
  if ((await stat(path)).isDirectory()) throw new RangeError(`${path} is a folder: name a .wgsl file in it`);
  return parseAuthorFile(basename(path), await readFile(path, "utf8"));
}

/** @throws RangeError where it imports what there is not, or cannot be run as it is declared */
export function parseAuthorFile(name: string, text: string): AuthorFile {
  const notes: Record<string, string> = {};
  for (const [, word, value] of text.matchAll(/^\s*\/\/\s*(claims|workgroups|params|lengths):[ \t]*(.*?)\s*$/gm)) {
    notes[word!] = value!;
  }
  const source = joinShared(name, text);
  const bindings = bindingsOf(source);
  requireMain(name, source);
  requireParams(name, source, bindings);
  requireDefaults(name, source);
  return { name, source, bindings, notes };
}

function requireMain(name: string, source: string): void {
  const entries = [...plain(source).matchAll(/@compute\b[^{;]*?\bfn\s+(\w+)/g)].map(([, entry]) => entry!);
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

/** Nothing sets an `override`: it keeps its default. */
function requireDefaults(name: string, source: string): void {
  const [, bare] = /\boverride\s+(\w+)\s*(?::\s*\w+\s*)?;/.exec(plain(source)) ?? [];
  if (bare === undefined) return;
  throw new RangeError(`${name}: override ${bare} has no value, and nothing here sets it: write "const ${bare} = 8;"`);
}

/** Without comments. */
function plain(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/[^\n]*/g, "");
}

/** Whether the source declares a top-level `const` or, for a type's name, an `alias` that can be re-valued. */
export function declares(source: string, name: string, value: Constant): boolean {
  const keyword = typeof value === "string" ? "alias" : "const";
  return new RegExp(`^${keyword}\\s+${name}\\s*(?::\\s*\\w+\\s*)?=`, "m").test(source);
}

/** The values of the source's `const` and `override` declarations that are numbers. */
export function numericConstants(source: string, known: Readonly<Record<string, Constant>>): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const [, name, text] of source.matchAll(
    /^(?:@id\(\d+\)\s*)?(?:const|override)\s+(\w+)\s*(?::\s*\w+\s*)?=([^;]*);/gm,
  )) {
    const given = known[name!];
    if (given !== undefined) {
      if (typeof given === "number") numbers[name!] = given;
      continue;
    }
    try {
      numbers[name!] = evaluateList(text!.trim(), numbers)[0]!;
    } catch {
      // a boolean, a vector, a function's value: nothing that counts workgroups
    }
  }
  return numbers;
}

/**
 * What says how many workgroups to launch: `--workgroups`, or the file.
 * @throws RangeError when neither does
 */
export function workgroupsText(file: AuthorFile, given: string | undefined): string {
  const text = given ?? file.notes.workgroups;
  if (text) return text;
  throw new RangeError(
    `${file.name} does not say how many workgroups it wants: write a line like "// workgroups: ceil(n / 64), ceil(m / 64), 1", or give --workgroups`,
  );
}

/**
 * How many workgroups to launch.
 * @param given `--workgroups`: `12x2x1`, or expressions as in the file
 * @param names what the expressions may use
 * @param most in each dimension, as the device allows
 * @throws RangeError when nobody says it, or it is no number of workgroups
 */
export function workgroupsOf(
  file: AuthorFile,
  given: string | undefined,
  names: Readonly<Record<string, number>>,
  most: number,
): [number, number, number] {
  const text = workgroupsText(file, given);
  const values = /^\d+(x\d+){0,2}$/.test(text) ? text.split("x").map(Number) : evaluateList(text, names);
  if (values.length > 3) throw new RangeError(`workgroups "${text}": ${values.length} numbers, a launch has at most 3`);
  const [x, y = 1, z = 1] = values as [number, number?, number?];
  const is = text === values.join("x") ? "" : ` is ${values.join(", ")}`;
  for (const value of [x, y, z]) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`workgroups "${text}"${is}: whole numbers from 1 are wanted, see ceil`);
    }
    if (value > most) {
      throw new RangeError(
        `workgroups "${text}"${is}: a dimension holds at most ${most}; spread them over two, as in "${most}, ceil(n / ${most})", and let the kernel reckon with workgroup_id.y`,
      );
    }
  }
  return [x, y, z];
}

/** What an element of a binding is stored as. */
export function storedAs(file: AuthorFile, { type }: Binding, dtype: Scalar): Scalar | "u32" {
  if (/u32|vec[234]u/.test(type)) return "u32";
  if (/<f32>|vec[234]f/.test(type)) return "f32";
  if (/f16|vec[234]h/.test(type)) return "f16";
  return declares(file.source, "Scalar", dtype) ? dtype : "f32";
}
