/** Fields of untrusted JSON, with errors that say which file, which field, what was found and what was expected. */

import { quote } from "../../files/faults.ts";
import { parseJson } from "../../files/json.ts";

/** A JSON object and where it stands: `model/tokenizer.json: added_tokens[3]`. */
export interface Fields {
  readonly where: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** @throws TypeError when the text is not a JSON object. */
export function parseFields(text: string, file: string): Fields {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new TypeError(`${file}: not valid JSON: ${(error as Error).message}`);
  }
  return fieldsOf(value, `${file}:`);
}

/** @throws TypeError when the value is not an object. */
export function fieldsOf(value: unknown, where: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(where, value, "an object");
  return { where, values: value as Record<string, unknown> };
}

export function has(fields: Fields, name: string): boolean {
  return Object.hasOwn(fields.values, name) && fields.values[name] !== null;
}

export function childOf(fields: Fields, name: string): Fields {
  return fieldsOf(fields.values[name], at(fields, name));
}

/** The elements of an array of objects; none when the field is missing. */
export function childrenOf(fields: Fields, name: string): Fields[] {
  return listOf(fields, name).map((value, i) => fieldsOf(value, `${at(fields, name)}[${i}]`));
}

export function listOf(fields: Fields, name: string): unknown[] {
  const value = has(fields, name) ? fields.values[name] : [];
  if (!Array.isArray(value)) throw wrong(at(fields, name), value, "an array");
  return value;
}

export function textOf(fields: Fields, name: string, fallback?: string): string {
  const value = has(fields, name) ? fields.values[name] : fallback;
  if (typeof value !== "string") throw wrong(at(fields, name), value, "a string");
  return value;
}

export function flagOf(fields: Fields, name: string, fallback: boolean): boolean {
  const value = has(fields, name) ? fields.values[name] : fallback;
  if (typeof value !== "boolean") throw wrong(at(fields, name), value, "true or false");
  return value;
}

/** A whole number in [least, most]. */
export function countOf(fields: Fields, name: string, least: number, most: number, fallback?: number): number {
  const value = has(fields, name) ? fields.values[name] : fallback;
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    throw wrong(at(fields, name), value, `a whole number from ${least} to ${most}`);
  }
  return value as number;
}

/** The `type` of a component, one of `types`. */
export function typeOf(fields: Fields, types: readonly string[], fallback?: string): string {
  const type = textOf(fields, "type", fallback);
  if (!types.includes(type)) {
    throw wrong(at(fields, "type"), type, `${types.join(" or ")}: only BERT's WordPiece tokenizers are run`);
  }
  return type;
}

/** `file: outer.name` */
export function at(fields: Fields, name: string): string {
  return fields.where.endsWith(":") ? `${fields.where} ${name}` : `${fields.where}.${name}`;
}

export function wrong(where: string, value: unknown, expected: string): TypeError {
  return new TypeError(`${where} is ${quote(value)}; expected ${expected}`.slice(0, 2000));
}
