import { provideWebGpu } from "./dawn.mjs";
import { importPeer, readModel, serve } from "./serve.mjs";
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
  for (const [name, { shape, data }] of Object.entries(tensors)) weights[name] = tf.tensor(data, shape, "float32");
  const encode = encoder(tf, config, weights, task, (ids) => (table) => tf.gather(table, ids));
  const forward = async () => {
    const output = encode();
    const data = await output.data();
    output.dispose();
    return data;
  };
  return { forward, adapter };
});
