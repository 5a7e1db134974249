/** A kernel author's file: WGSL, and in its comments what the bench must know to run it. */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { type Binding, bindingsOf, type Constant, type Scalar } from "../src/kernels/kernel.ts";
import activation from "../src/kernels/shared/activation.wgsl";
import attentionScalar from "../src/kernels/shared/attention_scalar.wgsl";
import attentionSequences from "../src/kernels/shared/attention_sequences.wgsl";
import attentionVec4 from "../src/kernels/shared/attention_vec4.wgsl";
import matmulScalar from "../src/kernels/shared/matmul_scalar.wgsl";
import matmulStore from "../src/kernels/shared/matmul_store.wgsl";
import matmulVec4 from "../src/kernels/shared/matmul_vec4.wgsl";
import normalizeRow from "../src/kernels/shared/normalize_row.wgsl";
import orderKey from "../src/kernels/shared/order_key.wgsl";
import orderKeys from "../src/kernels/shared/order_keys.wgsl";
import reduce from "../src/kernels/shared/reduce.wgsl";
import { evaluateList } from "./workbench_expression.ts";

export interface AuthorFile {
  /** `matmul_mine.wgsl` */
  readonly name: string;
  /** Joined with what its comments ask for. */
  readonly source: string;
  readonly bindings: readonly Binding[];
  /** What the comments say, by their first word: claims, workgroups, params, lengths. */
  readonly notes: Readonly<Record<string, string>>;
}

const SHARED: Readonly<Record<string, string>> = {
  activation,
  attention_scalar: attentionScalar,
  attention_sequences: attentionSequences,
  attention_vec4: attentionVec4,
  matmul_scalar: matmulScalar,
  matmul_store: matmulStore,
  matmul_vec4: matmulVec4,
  normalize_row: normalizeRow,
  order_key: orderKey,
  order_keys: orderKeys,
  reduce,
};

export async function readAuthorFile(path: string): Promise<AuthorFile> {
  return parseAuthorFile(basename(path), await readFile(path, "utf8"));
}

/** @throws RangeError where it asks to be joined with what there is not */
export function parseAuthorFile(name: string, text: string): AuthorFile {
  const notes: Record<string, string> = {};
  for (const [, word, value] of text.matchAll(/^\s*\/\/\s*(claims|workgroups|params|lengths):[ \t]*(.*?)\s*$/gm)) {
    notes[word!] = value!;
  }
  const source = [text, ...sharedOf(name, text)].join("\n");
  return { name, source, bindings: bindingsOf(source), notes };
}

/** What `Joined with shared/NAME.wgsl` in a comment names, unless the text has it already. After it: its lines keep their numbers. */
function sharedOf(name: string, text: string): string[] {
  const words = text.replaceAll(/\s*\n\s*\/\/\s*/g, " ");
  const asked = [...words.matchAll(/joined with ((?:shared\/\w+\.wgsl[, ]*(?:and )?)+)/gi)].map(([, list]) => list!);
  return asked
    .flatMap((list) => [...list.matchAll(/shared\/(\w+)\.wgsl/g)])
    .flatMap(([, shared]) => {
      const source = Object.hasOwn(SHARED, shared!) ? SHARED[shared!]! : undefined;
      if (source === undefined) {
        throw new RangeError(`${name}: there is no shared/${shared}.wgsl; there are ${Object.keys(SHARED).join(", ")}`);
      }
      const [first] = /^fn \w+/m.exec(source)!;
      return text.includes(`${first}(`) ? [] : [source];
    });
}

/** Whether the source declares a top-level `const` or, for a type's name, an `alias` that can be re-valued. */
export function declares(source: string, name: string, value: Constant): boolean {
  const keyword = typeof value === "string" ? "alias" : "const";
  return new RegExp(`^${keyword}\\s+${name}\\s*(?::\\s*\\w+\\s*)?=`, "m").test(source);
}

/** The values of the source's `const` declarations that are numbers. */
export function numericConstants(source: string, known: Readonly<Record<string, Constant>>): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const [, name, text] of source.matchAll(/^const\s+(\w+)\s*(?::\s*\w+\s*)?=([^;]*);/gm)) {
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
 * @throws RangeError when nobody says it, or it is no number of workgroups
 */
export function workgroupsOf(
  file: AuthorFile,
  given: string | undefined,
  names: Readonly<Record<string, number>>,
): [number, number, number] {
  const text = workgroupsText(file, given);
  const values = /^\d+(x\d+){0,2}$/.test(text) ? text.split("x").map(Number) : evaluateList(text, names);
  if (values.length > 3) throw new RangeError(`workgroups "${text}": ${values.length} numbers, a launch has at most 3`);
  const [x, y = 1, z = 1] = values as [number, number?, number?];
  for (const value of [x, y, z]) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`workgroups "${text}" is ${values.join(", ")}: whole numbers from 1 are wanted, see ceil`);
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
