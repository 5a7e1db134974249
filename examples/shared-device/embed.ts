/** Embeddings that stay on the GPU: BERT is encoded into the app's own commands. */

import type { Pretrained } from "bert-webgpu";

/** Sentences in one pass through the model. */
const BATCH = 128;

/**
 * @param buffer f32 [texts, hidden], COPY_DST: receives a vector of length 1 for each text
 * @param onProgress told how many texts are embedded
 */
export async function embedInto(
  buffer: GPUBuffer,
  device: GPUDevice,
  { model, tokenizer }: Pretrained,
  texts: readonly string[],
  onProgress: (done: number) => void,
): Promise<void> {
  const bytes = 4 * model.config.hiddenSize; // of one vector
  for (let begin = 0; begin < texts.length; begin += BATCH) {
    const sequences = texts.slice(begin, begin + BATCH).map((text) => ({ inputIds: tokenizer.encode(text).ids }));
    const bound = await model.bind(sequences, { embedding: { pooling: "mean", normalize: true } });
    const encoder = device.createCommandEncoder({ label: "embed" });
    bound.encode(encoder);
    encoder.copyBufferToBuffer(bound.outputs.embedding!, 0, buffer, begin * bytes, sequences.length * bytes);
    device.queue.submit([encoder.finish()]);
    bound.dispose(); // what was submitted still runs
    await device.queue.onSubmittedWorkDone(); // frames of the page come in between
    onProgress(begin + sequences.length);
  }
}
