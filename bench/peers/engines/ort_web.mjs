import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { provideWebGpu } from "./dawn.mjs";
import { feedsOf, packageFolder, serve } from "./serve.mjs";

await serve(async (task) => {
  const adapter = task.provider === "webgpu" ? await provideWebGpu(task) : undefined;
  const dist = join(packageFolder(task.install, "onnxruntime-web"), "dist");
  const bundle = task.provider === "webgpu" ? "ort.webgpu.bundle.min.mjs" : "ort.node.min.mjs";
  const { env, InferenceSession, Tensor } = await import(pathToFileURL(join(dist, bundle)).href);
  env.wasm.numThreads = availableParallelism();
  env.wasm.wasmPaths = `${dist}/`;
  env.logLevel = "error";
  const options = { executionProviders: [task.provider], graphOptimizationLevel: "all" };
  const session = await InferenceSession.create(readFileSync(join(task.model, "onnx", "model.onnx")), options);
  const feeds = feedsOf(Tensor, task);
  return { forward: async () => (await session.run(feeds)).last_hidden_state.data, adapter };
});
