import { pathToFileURL } from "node:url";
import { serve } from "./serve.mjs";

await serve(async ({ engine: entry, model: folder, adapter: choice, tuned, batch, tokens, ids }) => {
  const { BertModel, createEngine, openFolder } = await import(pathToFileURL(entry).href);
  const engine = await createEngine({ adapter: choice, tuning: tuned ? undefined : false });
  if (tuned && !engine.tuning) {
    throw new Error(
      `--tuned: nothing is stored for ${engine.adapter.name}; run bert-webgpu tune, or leave --tuned out`,
    );
  }
  const model = await BertModel.load(engine, openFolder(folder));
  const sequences = Array.from({ length: batch }, (_, i) => ({ inputIds: ids.slice(i * tokens, (i + 1) * tokens) }));
  const forward = async () => (await model.forward(sequences, { lastHiddenState: true })).lastHiddenState.data;
  return { forward, adapter: engine.adapter };
});
