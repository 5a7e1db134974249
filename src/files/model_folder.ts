/** A model by a text that says where it is, for browsers; in Node `resolveModel` also knows disks and the hub's cache. */

import type { Folder } from "./bytes.ts";
import { httpFolder } from "./http.ts";
import { hubFolder } from "./hub.ts";

/**
 * @param spec `org/name` or `org/name@revision` of the Hugging Face hub, or the address of a folder: one that begins with
 * http:, https:, a slash or a dot
 * @throws RangeError for what is neither, and for a revision of an address or one unlike that of the name
 */
export function modelFolder(spec: string, revision?: string): Folder {
  const url = /^(https?:|[./])/.test(spec);
  const [, name, own] = /^(?:hf:\/\/)?([^@]*)@?(.*)$/s.exec(spec)!;
  if (revision !== undefined && (url || (own && own !== revision))) {
    throw new RangeError(`${spec}: revision ${revision} is asked, ${url ? "an address has none" : "it names another"}`);
  }
  return url ? httpFolder(spec) : hubFolder(name!, { revision: own || revision });
}
