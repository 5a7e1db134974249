/** Folders as sentence-transformers writes them, of versions to 5 and of later ones. */

import { buildSafetensors } from "../../files/build.ts";

export interface ModuleFile {
  readonly kind: string;
  /** Its config.json; `undefined`, given as such, for none. */
  readonly config?: object | undefined;
  /** Its model.safetensors. */
  readonly tensors?: Uint8Array;
}

/** Where versions from 5.4 have the classes. */
const NEW: Readonly<Record<string, string>> = {
  Transformer: "base.modules.transformer",
  Dense: "base.modules.dense",
  Normalize: "base.modules.normalize",
  Pooling: "sentence_transformer.modules.pooling",
  LayerNorm: "sentence_transformer.modules.layer_norm",
  Dropout: "sentence_transformer.modules.dropout",
};

/** modules.json with a Transformer in front, and the files of each module. */
export function moduleFiles(
  modules: readonly ModuleFile[],
  version: "new" | "old" = "new",
): Record<string, string | Uint8Array> {
  const path = (i: number): string => `${i + 1}_${modules[i]!.kind}`;
  const type = (kind: string): string =>
    `sentence_transformers.${version === "old" ? "models" : (NEW[kind] ?? "sentence_transformer.modules")}.${kind}`;
  const files: Record<string, string | Uint8Array> = {
    "modules.json": JSON.stringify([
      { idx: 0, name: "0", path: "", type: type("Transformer") },
      ...modules.map(({ kind }, i) => ({ idx: i + 1, name: `${i + 1}`, path: path(i), type: type(kind) })),
    ]),
  };
  modules.forEach((module, i) => {
    const { tensors, config } = { config: {}, ...module };
    if (config) files[`${path(i)}/config.json`] = JSON.stringify(config);
    if (tensors) files[`${path(i)}/model.safetensors`] = tensors;
  });
  return files;
}

/** A safetensors file of matrices and vectors. */
export function weightsOf(tensors: Record<string, readonly number[][] | readonly number[]>): Uint8Array {
  return buildSafetensors(
    Object.fromEntries(
      Object.entries(tensors).map(([name, values]) => {
        const [first] = values;
        const shape = Array.isArray(first) ? [values.length, first.length] : [values.length];
        return [name, { dtype: "F32", shape, data: Float32Array.from((values as number[][]).flat()) }];
      }),
    ),
  );
}
