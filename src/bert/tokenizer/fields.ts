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
  return checked(fields, name, [], Array.isArray, "an array") as unknown[];
}

export function textOf(fields: Fields, name: string, fallback?: string): string {
  return checked(fields, name, fallback, (value) => typeof value === "string", "a string") as string;
}

export function flagOf(fields: Fields, name: string, fallback?: boolean): boolean {
  return checked(fields, name, fallback, (value) => typeof value === "boolean", "true or false") as boolean;
}

/** A whole number in [least, most]. */
export function countOf(fields: Fields, name: string, least: number, most: number, fallback?: number): number {
  const fits = (value: unknown): boolean => Number.isInteger(value) && least <= Number(value) && Number(value) <= most;
  return checked(fields, name, fallback, fits, `a whole number from ${least} to ${most}`) as number;
}

function checked(
  fields: Fields,
  name: string,
  fallback: unknown,
  fits: (value: unknown) => boolean,
  expected: string,
): unknown {
  const value = has(fields, name) ? fields.values[name] : fallback;
  if (!fits(value)) throw wrong(at(fields, name), value, expected);
  return value;
}

/** What `read` makes of a field; undefined where it is missing. */
export function optional<T>(fields: Fields, name: string, read: (fields: Fields, name: string) => T): T | undefined {
  return has(fields, name) ? read(fields, name) : undefined;
}

/** One of `values`; `note` is for the message. */
export function choiceOf<V extends string>(
  fields: Fields,
  name: string,
  values: readonly V[],
  fallback?: V,
  note: string = "",
): V {
  const expected = `${values.join(" or ")}${note}`;
  return checked(fields, name, fallback, (value) => values.includes(value as V), expected) as V;
}

/** The `type` of a component. */
export function typeOf<V extends string>(fields: Fields, types: readonly V[], fallback?: V): V {
  return choiceOf(fields, "type", types, fallback, ": only BERT's WordPiece tokenizers are run");
}

/** `file: outer.name` */
export function at(fields: Fields, name: string): string {
  return fields.where.endsWith(":") ? `${fields.where} ${name}` : `${fields.where}.${name}`;
}

export function wrong(where: string, value: unknown, expected: string): TypeError {
  return new TypeError(`${where} is ${quote(value)}; expected ${expected}`.slice(0, 2000));
}
