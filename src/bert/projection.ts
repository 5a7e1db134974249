/** ColBERT's projection in a folder of its own, as PyLate keeps it: a Dense module right behind the Transformer. */

import { type Folder, readText } from "../files/bytes.ts";
import { type Checkpoint, openCheckpoint } from "../files/checkpoint.ts";
import { ModelError } from "./config.ts";
import { PROJECTION } from "./heads/late_interaction.ts";
import { parseFields } from "./tokenizer/fields.ts";

/** Where PyLate's modules.json keeps it. */
const DENSE = "1_Dense";

/**
 * A model folder's weights, with the projection where it has one.
 * @param architectures those with a head of their own have none
 * @throws CheckpointError as `openCheckpoint`, ModelError for a Dense module that does more than multiply by a matrix
 */
export async function openWeights(folder: Folder, architectures: readonly string[]): Promise<Checkpoint> {
  const encoder = await openCheckpoint(folder);
  try {
    if (encoder.tensors.has(PROJECTION) || architectures.some((name) => name.startsWith("BertFor"))) return encoder;
    const config = await readText(folder, `${DENSE}/config.json`);
    if (config === undefined) return encoder;
    const { activation_function: activation, bias, use_residual } = parseFields(config, `${DENSE}/config.json`).values;
    if (!/Identity$/.test(String(activation)) || bias !== false || use_residual) {
      throw new ModelError(folder.name, [
        `${DENSE} has a bias, a residual or an activation; a projection alone is run`,
      ]);
    }
    const dense = await openCheckpoint({
      name: `${folder.name}/${DENSE}`,
      open: (file) => folder.open(`${DENSE}/${file}`),
    });
    const of = (name: string): Checkpoint => (encoder.tensors.has(name) ? encoder : dense);
    return {
      ...encoder,
      tensors: new Map([...dense.tensors, ...encoder.tensors]),
      read: (name, range) => of(name).read(name, range),
      readFloats: (name, range) => of(name).readFloats(name, range),
      chunks: (name, target, most) => of(name).chunks(name, target, most),
      async close() {
        await encoder.close();
        await dense.close();
      },
    };
  } catch (error) {
    await encoder.close();
    throw error;
  }
}
