/** ColBERT's projection in a folder of its own, as PyLate keeps it: a Dense module right behind the Transformer. */

import { type Folder, readText } from "../files/bytes.ts";
import { type Checkpoint, openCheckpoint } from "../files/checkpoint.ts";
import { ModelError } from "./config.ts";
import { flagOf, parseFields, textOf } from "./tokenizer/fields.ts";

/**
 * A model folder's weights, with the projection where it has one.
 * @param architectures those with a head of their own have none
 * @throws CheckpointError as `openCheckpoint`, ModelError for a Dense module that does more than multiply by a matrix
 */
export async function openWeights(folder: Folder, architectures: readonly string[]): Promise<Checkpoint> {
  const headed = architectures.some((name) => name.startsWith("BertFor"));
  const config = headed ? undefined : await readText(folder, "1_Dense/config.json");
  // what is pooled afterwards is a sentence's vector, not ColBERT's
  if (config === undefined || /\.Pooling"/.test((await readText(folder, "modules.json")) ?? "")) {
    return openCheckpoint(folder);
  }
  const fields = parseFields(config, `${folder.name}/1_Dense/config.json`);
  const activation = textOf(fields, "activation_function", "");
  if (flagOf(fields, "bias", true) || flagOf(fields, "use_residual", false) || !activation.endsWith("Identity")) {
    throw new ModelError(folder.name, ["1_Dense has a bias, a residual or an activation; a projection alone is run"]);
  }
  return openCheckpoint(folder, "1_Dense/model.safetensors");
}
