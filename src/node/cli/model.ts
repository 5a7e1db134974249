/** The model that a command is given: a folder, or a name of the Hugging Face hub, downloaded while the user watches. */

import { join } from "node:path";
import type { Folder } from "../../files/bytes.ts";
import { type Claim, refuseInputs } from "../data/claim.ts";
import { KNOWN } from "../hub/files.ts";
import { type ResolveOptions, resolveAdapter, resolveModel } from "../hub/resolve.ts";
import { megabytes, warnings } from "./output.ts";
import { barsOn, progress } from "./progress_bar.ts";

/**
 * @param spec a folder, or `org/name[@revision]`
 * @param wanted `weights: false` where the tokenizer is enough; `verify` hashes what is in the cache; no bars with `json`
 * @throws what `resolveModel` throws
 */
export function openModelFolder(
  spec: string,
  { weights = true, ...options }: { readonly weights?: boolean } & Showing,
): Promise<Folder> {
  return watched(spec, options, (resolve) => resolveModel(spec, { weights, ...resolve }));
}

/** The same of an adapter of PEFT. */
export function openAdapterFolder(spec: string, options: Showing): Promise<Folder> {
  return watched(spec, options, (resolve) => resolveAdapter(spec, resolve));
}

interface Showing {
  readonly verify?: boolean;
  readonly json: boolean;
}

async function watched(
  spec: string,
  { verify, json }: Showing,
  resolve: (options: Pick<ResolveOptions, "verify" | "onWarning" | "onProgress" | "onVerify">) => Promise<Folder>,
): Promise<Folder> {
  const stream = barsOn({ json });
  const notes = warnings();
  const hashing = progress(`hashing ${spec}`, stream);
  let line: ReturnType<typeof progress> | undefined;
  const say = (): void => {
    line?.end();
    process.stderr.write("interrupted: what has arrived is kept, and the same command goes on from there\n");
  };
  try {
    return await resolve({
      verify,
      onWarning: notes.warn,
      onProgress({ loaded, total }) {
        if (line === undefined) {
          line = progress(`downloading ${spec}, ${megabytes(total)}`, stream);
          process.prependListener("SIGINT", say); // the command's own listener exits
        }
        line.at(loaded / total);
      },
      onVerify: ({ loaded, total }) => hashing.at(loaded / total),
    });
  } finally {
    process.off("SIGINT", say);
    line?.end();
    hashing.end();
    notes.end();
  }
}

/** The files of a model are no output. @param read paths of what is read of it @throws Error naming one that would be written */
export async function refuseModel(output: Claim, folder: Folder, read: readonly string[] = []): Promise<void> {
  const paths = new Set([...KNOWN, ...read]);
  await refuseInputs(
    output,
    [...paths].map((path) => join(folder.name, path)),
  );
}
