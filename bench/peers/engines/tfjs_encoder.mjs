/** The encoder written in TensorFlow.js: what its users would write, matrix products fused with their bias. */

/** @param lookUp of ids, gives the function from a table to its rows */
export function encoder(tf, config, weights, { batch, tokens, ids }, lookUp) {
  const { hidden_size: hidden, num_attention_heads: heads, num_hidden_layers: layers, layer_norm_eps: eps } = config;
  const headDim = hidden / heads;
  const rowsOf = lookUp(tf.tensor1d(Int32Array.from(ids), "int32"));

  const linear = (x, name) =>
    tf.fused.matMul({ a: x, b: weights[`${name}.weight`], transposeB: true, bias: weights[`${name}.bias`] });
  const norm = (x, name) => {
    const { mean, variance } = tf.moments(x, -1, true);
    const unit = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, eps)));
    return tf.add(tf.mul(unit, weights[`${name}.weight`]), weights[`${name}.bias`]);
  };
  const gelu = (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
  const split = (x) => tf.transpose(tf.reshape(x, [batch, tokens, heads, headDim]), [0, 2, 1, 3]);

  return () =>
    tf.tidy(() => {
      const word = rowsOf(weights["embeddings.word_embeddings.weight"]);
      const type = tf.slice(weights["embeddings.token_type_embeddings.weight"], [0, 0], [1, hidden]);
      const position = tf.slice(weights["embeddings.position_embeddings.weight"], [0, 0], [tokens, hidden]);
      const sum = tf.add(tf.reshape(tf.add(word, type), [batch, tokens, hidden]), position);
      let x = norm(tf.reshape(sum, [batch * tokens, hidden]), "embeddings.LayerNorm");
      for (let i = 0; i < layers; i++) {
        const layer = `encoder.layer.${i}`;
        const [q, k, v] = ["query", "key", "value"].map((part) => split(linear(x, `${layer}.attention.self.${part}`)));
        const scores = tf.softmax(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(headDim)));
        const context = tf.reshape(tf.transpose(tf.matMul(scores, v), [0, 2, 1, 3]), [batch * tokens, hidden]);
        const attended = tf.add(linear(context, `${layer}.attention.output.dense`), x);
        x = norm(attended, `${layer}.attention.output.LayerNorm`);
        const inner = gelu(linear(x, `${layer}.intermediate.dense`));
        x = norm(tf.add(linear(inner, `${layer}.output.dense`), x), `${layer}.output.LayerNorm`);
      }
      return x;
    });
}
