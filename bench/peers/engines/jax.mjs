import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { provideWebGpu } from "./dawn.mjs";
import { embedder, layersOf } from "./jax_encoder.mjs";
import { packageFolder, readModel, serve } from "./serve.mjs";

await serve(async (task) => {
  const adapter = await provideWebGpu(task);
  const entry = join(packageFolder(task.install, "@jax-js/jax"), "dist", "index.js");
  const jax = await import(pathToFileURL(entry).href);
  await jax.init("webgpu");
  jax.defaultDevice("webgpu");
  const { config, tensors } = readModel(task.model);
  const weights = {};
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    if (!name.startsWith("pooler.")) weights[name] = jax.numpy.array(new Float32Array(data)).reshape(shape);
  }
  const ids = jax.numpy.array(Int32Array.from(task.ids));
  const [embed, layers] = [embedder(jax, config, task), layersOf(jax, config, task)];
  const encode = jax.jit((weights, ids) => {
    const x = layers(weights, embed(weights, ids));
    for (const used of Object.values(weights)) used.dispose();
    return x;
  });
  const borrowed = () => Object.fromEntries(Object.entries(weights).map(([name, weight]) => [name, weight.ref]));
  return { forward: () => encode(borrowed(), ids.ref).data(), adapter };
});
