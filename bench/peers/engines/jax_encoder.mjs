/** The encoder written in jax-js. An array is used up by what takes it; `.ref` keeps it. Weights are left to the caller. */

/** From ids to the sums of the three tables' rows [batch * tokens, hidden]. */
export function embedder({ numpy: np }, { hidden_size: hidden }, { batch, tokens }) {
  return (weights, ids) => {
    const weight = (name) => weights[name].ref;
    const type = weight("embeddings.token_type_embeddings.weight").slice(0);
    const position = weight("embeddings.position_embeddings.weight").slice([0, tokens]);
    const word = np.take(weight("embeddings.word_embeddings.weight"), ids, 0).reshape([batch, tokens, hidden]);
    return word
      .add(type)
      .add(position)
      .reshape([batch * tokens, hidden]);
  };
}

/** From these to the last hidden state. */
export function layersOf({ numpy: np, nn }, config, { batch, tokens }) {
  const { hidden_size: hidden, num_attention_heads: heads, num_hidden_layers: layers, layer_norm_eps: eps } = config;
  const headDim = hidden / heads;
  return (weights, embedded) => {
    const weight = (name) => weights[name].ref;
    const linear = (x, name) => np.matmul(x, np.transpose(weight(`${name}.weight`))).add(weight(`${name}.bias`));
    const norm = (x, name) =>
      nn
        .standardize(x, -1, { epsilon: eps })
        .mul(weight(`${name}.weight`))
        .add(weight(`${name}.bias`));
    const split = (x) => np.transpose(x.reshape([batch, tokens, heads, headDim]), [0, 2, 1, 3]);

    let x = norm(embedded, "embeddings.LayerNorm");
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
    return x;
  };
}
