/** `--report`: the page of a run, written when the run ends, however it does. */

import { mkdir, open, rmdir, stat } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { withClaim, writeOutput } from "../../data/claim.ts";
import { pageScript } from "../../page_script.ts";
import { InputError } from "../failure.ts";
import type { TrainOptions } from "./options.ts";
import { GENERATOR, type RunPage, trainPage } from "./page.ts";

/** Writes the page of a run; a run of which nothing was told leaves what is there. @returns where, undefined: it has none */
export type WriteReport = (run: RunPage) => Promise<string | undefined>;

/**
 * Does `work` while the file of the report is this job's own, where one is wanted.
 * @param dir of the model, which is this job's own as well
 * @param reads what the run reads: none of it may be the report
 * @throws Error where the file cannot be written; InputError where it is there, unless `force`, or `resume` and it is a report
 */
export async function withReport(
  { report, output, resume, force }: Pick<TrainOptions, "report" | "output" | "resume" | "force">,
  dir: string,
  reads: readonly string[],
  work: (write: WriteReport) => Promise<void>,
): Promise<void> {
  if (report === undefined) return work(async () => undefined);
  const script = await pageScript(); // what is missing is told before anything is computed
  const own = resume && (await isReport(report));
  const why = resume ? "it is there, and no report of train; name another file" : "it exists; --force replaces it";
  const refuse = force || own ? undefined : new InputError(`${report}: ${why}`);
  const within = resolve(dirname(report)) === resolve(output);
  const made = within ? await mkdir(dir, { recursive: true }) : undefined;
  try {
    await withClaim(report, { inputs: reads, refuse }, async (claim) => {
      if (claim!.file.startsWith(dir + sep) && dirname(claim!.file) !== dir)
        throw new InputError(`${report}: folders in ${output} come and go; name a file beside them`);
      await work(async (run) => {
        if (run.trainer.history.length === 0) return undefined;
        await writeOutput(claim!, (write) => write(trainPage(run, script)));
        return report;
      });
    });
  } finally {
    if (made !== undefined) await rmdir(dir).catch(() => {}); // a run that was refused leaves no folder
  }
}

/** Whether a file is the page of a run, by what it says at its top. */
async function isReport(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return false;
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0);
    return buffer.toString("utf8", 0, bytesRead).includes(`<meta name="generator" content="${GENERATOR}">`);
  } finally {
    await file.close();
  }
}
