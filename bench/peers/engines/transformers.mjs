import { basename, dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { feedsOf, packageFolder, serve } from "./serve.mjs";

await serve(async (task) => {
  const entry = `${packageFolder(task.install, "@huggingface/transformers")}/dist/transformers.node.mjs`;
  const { AutoModel, env, Tensor } = await import(pathToFileURL(entry).href);
  env.allowRemoteModels = false;
  env.localModelPath = dirname(task.model);
  const model = await AutoModel.from_pretrained(basename(task.model), { device: task.provider, dtype: "fp32" });
  const feeds = feedsOf(Tensor, task);
  return { forward: async () => (await model(feeds)).last_hidden_state.data };
});
