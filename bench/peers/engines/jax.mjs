/** The encoder written in jax-js, all of it under `jit`. An array is used up by what takes it; `.ref` keeps it. */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { provideWebGpu } from "./dawn.mjs";
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
  const encode = encoder(jax, config, task);
  const borrowed = () => Object.fromEntries(Object.entries(weights).map(([name, weight]) => [name, weight.ref]));
  return { forward: () => encode(borrowed(), ids.ref).data(), adapter };
});

function encoder({ numpy: np, nn, jit }, config, { batch, tokens }) {
  const { hidden_size: hidden, num_attention_heads: heads, num_hidden_layers: layers, layer_norm_eps: eps } = config;
  const headDim = hidden / heads;
  return jit((weights, ids) => {
    const weight = (name) => weights[name].ref;
    const linear = (x, name) => np.matmul(x, np.transpose(weight(`${name}.weight`))).add(weight(`${name}.bias`));
    const norm = (x, name) =>
      nn
        .standardize(x, -1, { epsilon: eps })
        .mul(weight(`${name}.weight`))
        .add(weight(`${name}.bias`));
    const split = (x) => np.transpose(x.reshape([batch, tokens, heads, headDim]), [0, 2, 1, 3]);

    const type = weight("embeddings.token_type_embeddings.weight").slice(0);
    const position = weight("embeddings.position_embeddings.weight").slice([0, tokens]);
    const word = np.take(weight("embeddings.word_embeddings.weight"), ids, 0).reshape([batch, tokens, hidden]);
    let x = norm(
      word
        .add(type)
        .add(position)
        .reshape([batch * tokens, hidden]),
      "embeddings.LayerNorm",
    );
    for (let i = 0; i < layers; i++) {
      const layer = `encoder.layer.${i}`;
      const part = (name) => split(linear(x.ref, `${layer}.attention.self.${name}`));
      const [q, k, v] = [part("query"), part("key"), part("value")];
      const scores = np.matmul(q, np.transpose(k, [0, 1, 3, 2])).mul(1 / Math.sqrt(headDim));
      const context = np
        .transpose(np.matmul(nn.softmax(scores, -1), v), [0, 2, 1, 3])
        .reshape([batch * tokens, hidden]);
      const attended = linear(context, `${layer}.attention.output.dense`).add(x);
      x = norm(attended, `${layer}.attention.output.LayerNorm`);
      const inner = nn.gelu(linear(x.ref, `${layer}.intermediate.dense`), { approximate: false });
      x = norm(linear(inner, `${layer}.output.dense`).add(x), `${layer}.output.LayerNorm`);
    }
    for (const used of Object.values(weights)) used.dispose();
    return x;
  });
}
