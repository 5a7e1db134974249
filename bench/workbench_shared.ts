/** An author's file with what it imports of the project's: `// #import "shared/activation.wgsl"`, as kernels do it. */

import files from "wgsl-files";
import { joinFiles, resolveImports } from "../src/kernels/imports.ts";

/**
 * The text, and after it, so that its lines keep their numbers, what it imports.
 * @param name of the author's file
 * @throws RangeError where it imports what there is not
 */
export function joinShared(name: string, text: string): string {
  return joinFiles(
    resolveImports(name, (path) => {
      if (path === name) return text;
      if (Object.hasOwn(files, path)) return files[path];
      const known = Object.keys(files).filter((path) => /^fn /m.test(files[path]!) && !/^@compute/m.test(files[path]!));
      throw new RangeError(`${name}: there is no ${path} to import; there are ${known.join(", ")}`);
    }),
  );
}
