/** The process that holds the GPU: what it finds goes to the one that started it, which outlives a crash. */

import { messageOf } from "../../src/node/cli/failure.ts";
import { bundledModel } from "../../src/node/cli/package.ts";
import { requestDevice } from "../../src/node/device.ts";
import { openFolder } from "../../src/node/folder.ts";
import { allTables } from "./checks.ts";
import { examine, type Told } from "./examine.ts";
import { type Clinic, planExamination } from "./plan.ts";
import type { WorkerTask } from "./supervise.ts";

const { adapter, ...task } = JSON.parse(process.argv[2]!) as WorkerTask;

const tell = (what: Told): void => void process.send!(what);

const EXPERIMENTS = ["allow_unsafe_apis"];

process.on("disconnect", () => process.exit()); // nobody listens any more

const clinic: Clinic = {
  open: (experiments) =>
    requestDevice({ adapter, preciseTimestamps: true, ...(experiments && { toggles: EXPERIMENTS }) }),
};
const subjects = { tables: allTables(), model: openFolder(bundledModel()) };
try {
  const plan = await planExamination(clinic, { ...subjects, ...task });
  tell({ type: "subject", subject: plan.subject });
  await examine(plan, tell);
} catch (error) {
  tell({ type: "refused", message: messageOf(error) });
}
process.disconnect();
