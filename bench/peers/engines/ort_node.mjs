import { join } from "node:path";
import { feedsOf, importPeer, serve } from "./serve.mjs";

await serve(async (task) => {
  const { InferenceSession, Tensor } = (await importPeer(task.install, "onnxruntime-node")).default;
  const options = { executionProviders: [task.provider], graphOptimizationLevel: "all", logSeverityLevel: 3 };
  const session = await InferenceSession.create(join(task.model, "onnx", "model.onnx"), options);
  const feeds = feedsOf(Tensor, task);
  return { forward: async () => (await session.run(feeds)).last_hidden_state.data };
});
