/**
 * What a .wgsl file shares with others, as its own first lines say it:
 *
 *   // #import "shared/activation.wgsl"
 *   // #import "matmul/operands_scalar.wgsl" instead of "matmul/operands_vec4.wgsl"
 *
 * Paths count from src/kernels. The second form is for a variant of a kernel: of all that this file's other imports bring
 * along, one is swapped. WGSL does not care in which order declarations stand, so that a file comes first, with its
 * directives and its line numbers, and what it imports after it.
 */

export interface WgslFile {
  readonly path: string;
  /** As it is joined with others: its lines keep their numbers, none is an import. */
  readonly text: string;
}

interface Import {
  readonly path: string;
  readonly insteadOf: string | undefined;
  /** Whether it came to stand for the other. */
  used?: boolean;
}

const LINE = /^\/\/ #import\s"([^"]+)"(?: instead of "([^"]+)")?$/;

/**
 * The file and all that it imports, and that these import, each once.
 * @param read the text of a file, `undefined` where there is none
 * @throws RangeError for a file that there is not, a circle, a swap of what nothing imports, or a line that begins as an
 * import and is none
 */
export function resolveImports(path: string, read: (path: string) => string | undefined): WgslFile[] {
  const files = new Map<string, WgslFile>();
  visit(path, [], []);
  return [...files.values()];

  function visit(path: string, importers: readonly string[], outer: readonly Import[]): void {
    if (importers.includes(path)) throw new RangeError(`${[...importers, path].join(" imports ")}: a circle`);
    if (files.has(path)) return;
    const source = read(path);
    if (source === undefined) throw new RangeError(`${importers.at(-1) ?? path}: there is no ${path} to import`);
    files.set(path, { path, text: withoutImports(source) });
    const imports = importsOf(path, source);
    const own = imports.filter(({ insteadOf }) => insteadOf !== undefined);
    const swaps = [...outer, ...own]; // an importer's swap goes before
    for (const wanted of imports) {
      if (wanted.insteadOf !== undefined) continue;
      const swap = swaps.find(({ insteadOf }) => insteadOf === wanted.path);
      if (swap) swap.used = true;
      visit((swap ?? wanted).path, [...importers, path], swaps);
    }
    for (const { path: swap, insteadOf, used } of own) {
      if (!used) throw new RangeError(`${path}: nothing here imports ${insteadOf}, which ${swap} is to stand for`);
    }
  }
}

/** The WGSL that such files are together; a line says where each begins. */
export function joinFiles(files: readonly WgslFile[]): string {
  return files.map(({ path, text }, i) => (i === 0 ? text : `\n// ---- ${path} ----\n${text}`)).join("");
}

function importsOf(path: string, source: string): Import[] {
  const lines = source.split("\n").map((line) => line.trimEnd());
  return lines
    .filter((line) => /^\s*\/\/\s*#\s*import\b/.test(line))
    .map((line) => {
      const [, imported, insteadOf] = LINE.exec(line) ?? [];
      if (imported !== undefined) return { path: imported, insteadOf };
      throw new RangeError(`${path}: ${line}: an import is // #import "shared/activation.wgsl" and nothing more`);
    });
}

/** What is joined already must not be joined again by whoever copies it. */
function withoutImports(source: string): string {
  return source.replace(/^\/\/ #import (.*)$/gm, (_, what: string) => `// With ${what.replaceAll('"', "")}.`);
}
