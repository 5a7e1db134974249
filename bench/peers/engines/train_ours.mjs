import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { lossesOf, serve } from "./serve.mjs";

await serve(async (task) => {
  const { openTraining } = await import(pathToFileURL(join(task.engine, "../../checks/train_ours.js")).href);
  const { step, adapter } = await openTraining(task);
  return { forward: lossesOf(step), adapter };
});
