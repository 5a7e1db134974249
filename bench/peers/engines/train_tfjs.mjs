/** A training step written in TensorFlow.js: its gradients and its Adam, with clipping and decay beside them. */

import { provideWebGpu } from "./dawn.mjs";
import { importPeer, isDecayed, labelsOf, lossesOf, readModel, serve } from "./serve.mjs";
import { encoder } from "./tfjs_encoder.mjs";

await serve(async (task) => {
  const adapter = await provideWebGpu(task);
  const imported = await importPeer(task.install, "@tensorflow/tfjs");
  const tf = imported.default ?? imported;
  await importPeer(task.install, "@tensorflow/tfjs-backend-webgpu");
  if (!(await tf.setBackend("webgpu"))) throw new Error(`tfjs takes the backend ${tf.getBackend()} for webgpu`);
  await tf.ready();
  const { config, tensors } = readModel(task.model);
  const weights = {};
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    weights[name] = tf.variable(tf.tensor(data, shape, "float32"), true, name);
  }
  // its WebGPU backend cannot sum segments, which is how it differentiates `gather`
  const lookUp = (ids) =>
    tf.customGrad((table, save) => {
      save([table]);
      const gradFunc = (dy) => tf.scatterND(tf.expandDims(ids, 1), dy, table.shape);
      return { value: tf.gather(table, ids), gradFunc };
    });
  const encode = encoder(tf, config, weights, task, lookUp);
  const { batch, tokens, learningRate, weightDecay, maxNorm } = task;
  const labels = tf.oneHot(tf.tensor1d(labelsOf(task), "int32"), tensors["classifier.weight"].shape[0]).toFloat();
  const dense = (x, name) => tf.add(tf.matMul(x, weights[`${name}.weight`], false, true), weights[`${name}.bias`]);
  const loss = () => {
    const hidden = tf.reshape(encode(), [batch, tokens, config.hidden_size]);
    const first = tf.reshape(tf.slice(hidden, [0, 0, 0], [batch, 1, config.hidden_size]), [batch, config.hidden_size]);
    const logits = dense(tf.tanh(dense(first, "pooler.dense")), "classifier");
    return tf.neg(tf.mean(tf.sum(tf.mul(labels, tf.logSoftmax(logits)), -1)));
  };
  const adam = tf.train.adam(learningRate, 0.9, 0.999, 1e-8);
  const step = async () => {
    const value = tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss);
      const squares = Object.values(grads).map((grad) => tf.sum(tf.square(grad)));
      const norm = tf.sqrt(squares.reduce((sum, each) => tf.add(sum, each))); // addN binds more buffers than there may be
      const clip = tf.minimum(1, tf.div(maxNorm, tf.add(norm, 1e-6)));
      for (const [name, weight] of Object.entries(weights)) {
        if (isDecayed(name)) weight.assign(tf.mul(weight, 1 - learningRate * weightDecay));
      }
      adam.applyGradients(Object.fromEntries(Object.entries(grads).map(([name, grad]) => [name, tf.mul(grad, clip)])));
      return value;
    });
    const [told] = await value.data();
    value.dispose();
    return told;
  };
  return { forward: lossesOf(step), adapter };
});
