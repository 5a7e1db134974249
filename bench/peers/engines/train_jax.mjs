/**
 * A training step written in jax-js, all of it under `jit`. Its `take` has no gradient there, so that the tables of the
 * embeddings stay as they are.
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { provideWebGpu } from "./dawn.mjs";
import { embedder, layersOf } from "./jax_encoder.mjs";
import { isDecayed, labelsOf, lossesOf, packageFolder, readModel, serve } from "./serve.mjs";

const [BETA1, BETA2, EPS] = [0.9, 0.999, 1e-8];

await serve(async (task) => {
  const adapter = await provideWebGpu(task);
  const entry = join(packageFolder(task.install, "@jax-js/jax"), "dist", "index.js");
  const jax = await import(pathToFileURL(entry).href);
  await jax.init("webgpu");
  jax.defaultDevice("webgpu");
  const { numpy: np, nn, jit, valueAndGrad } = jax;
  const { config, tensors } = readModel(task.model);
  const { batch, tokens, learningRate, weightDecay, maxNorm } = task;
  const [tables, weights, zeros] = [{}, {}, {}];
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    const frozen = name.includes("_embeddings.");
    (frozen ? tables : weights)[name] = np.array(new Float32Array(data)).reshape(shape);
    if (!frozen) zeros[name] = np.zeros(shape);
  }
  const embedded = jit(embedder(jax, config, task))(tables, np.array(Int32Array.from(task.ids)));
  const classes = tensors["classifier.weight"].shape[0];
  const oneHot = new Float32Array(batch * classes);
  labelsOf(task).forEach((label, i) => {
    oneHot[i * classes + label] = 1;
  });
  const labels = np.array(oneHot).reshape([batch, classes]);
  const layers = layersOf(jax, config, task);
  const lossOf = (own, x, wanted) => {
    const dense = (x, name) => np.matmul(x, np.transpose(own[`${name}.weight`].ref)).add(own[`${name}.bias`].ref);
    const first = layers(own, x).reshape([batch, tokens, config.hidden_size]).slice([], 0);
    const logits = dense(np.tanh(dense(first, "pooler.dense")), "classifier");
    const loss = nn
      .logSoftmax(logits, -1)
      .mul(wanted)
      .sum()
      .mul(-1 / batch);
    for (const used of Object.values(own)) used.dispose();
    return loss;
  };
  const update = jit((own, m, v, corrections, x, wanted) => {
    const borrowed = Object.fromEntries(Object.entries(own).map(([name, weight]) => [name, weight.ref]));
    const [loss, gradients] = valueAndGrad(lossOf)(borrowed, x, wanted);
    let squares = np.array(0);
    for (const gradient of Object.values(gradients)) squares = squares.add(np.square(gradient.ref).sum());
    const clip = np.minimum(1, np.reciprocal(np.sqrt(squares).add(1e-6)).mul(maxNorm));
    const [first, second] = [corrections.ref.slice(0), corrections.slice(1)];
    const next = [{}, {}, {}];
    for (const [name, gradient] of Object.entries(gradients)) {
      const clipped = gradient.mul(clip.ref);
      const mean = m[name].mul(BETA1).add(clipped.ref.mul(1 - BETA1));
      const square = v[name].mul(BETA2).add(np.square(clipped).mul(1 - BETA2));
      const root = np.sqrt(square.ref.mul(second.ref)).add(EPS);
      const move = mean.ref.mul(first.ref).div(root).mul(learningRate);
      const kept = isDecayed(name) ? own[name].mul(1 - learningRate * weightDecay) : own[name];
      [next[0][name], next[1][name], next[2][name]] = [kept.sub(move), mean, square];
    }
    for (const used of [clip, first, second]) used.dispose();
    return [loss, ...next];
  });
  let state = [weights, zeros, Object.fromEntries(Object.entries(zeros).map(([name, each]) => [name, each.ref]))];
  let steps = 0;
  const step = async () => {
    steps++;
    const corrections = np.array(Float32Array.of(1 / (1 - BETA1 ** steps), 1 / (1 - BETA2 ** steps)));
    const [loss, ...next] = update(...state, corrections, embedded.ref, labels.ref);
    state = next;
    return (await loss.data())[0];
  };
  return { forward: lossesOf(step), adapter };
});
