/** `bert-webgpu`: the command line. */

import { Command } from "commander";
import { answerCommand } from "./cli/answer_question.ts";
import { checkCommand } from "./cli/check.ts";
import { classifyCommand } from "./cli/classify.ts";
import { convertCommand } from "./cli/convert.ts";
import { demoCommand } from "./cli/demo.ts";
import { embedCommand } from "./cli/embed.ts";
import { evaluateCommand } from "./cli/evaluate.ts";
import { reportFailure } from "./cli/failure.ts";
import { fillMaskCommand } from "./cli/fill_mask.ts";
import { generateCommand, translateCommand } from "./cli/generate.ts";
import { infoCommand } from "./cli/info.ts";
import { modelsCommand } from "./cli/models.ts";
import { nextSentenceCommand } from "./cli/next_sentence.ts";
import { packageVersion } from "./cli/package.ts";
import { rerankCommand } from "./cli/rerank.ts";
import { similarityCommand } from "./cli/similarity.ts";
import { summariseCommand } from "./cli/summarise.ts";
import { tagCommand } from "./cli/tag.ts";
import { tokenizeCommand } from "./cli/tokenize.ts";
import { trainCommand } from "./cli/train.ts";
import { tuneCommand } from "./cli/tune.ts";
import { zeroShotCommand } from "./cli/zero_shot.ts";
import { harmless } from "./terminal.ts";

const program = new Command("bert-webgpu")
  .description("BERT on any GPU that speaks WebGPU, straight from Hugging Face safetensors.")
  .version(packageVersion())
  .exitOverride((error) => {
    // thrown out of the child's event, this one would reach nobody
    if (error.code === "commander.executeSubCommandAsync") {
      // 1 is commander's also for a child that died, as a driver may let a bench that is told to end: then as we were told
      process.exit(error.exitCode === 1 ? (process.exitCode ?? 1) : error.exitCode);
    }
    throw error;
  })
  // a suggestion belongs to the error: one line in all
  .configureOutput({ outputError: (text, write) => write(`${harmless(text.trim().replaceAll("\n", " "))}\n`) });

for (const command of [
  fillMaskCommand(),
  classifyCommand(),
  tagCommand(),
  answerCommand(),
  zeroShotCommand(),
  nextSentenceCommand(),
  embedCommand(),
  similarityCommand(),
  rerankCommand(),
  summariseCommand(),
  translateCommand(),
  generateCommand(),
  evaluateCommand(),
  trainCommand(),
  tokenizeCommand(),
  infoCommand(),
  tuneCommand(),
  checkCommand(),
  convertCommand(),
  modelsCommand(),
  demoCommand(),
]) {
  program.addCommand(command.copyInheritedSettings(program));
  for (const own of command.commands) own.copyInheritedSettings(command);
}
program.command("bench", "verify and time the kernels and the model", { executableFile: "bench.js" });
program.command("doctor", "check this GPU: every kernel, the shipped model, a quick bench", {
  executableFile: "doctor.js",
});

// these, processes of their own, are handed signals by commander; they write what they have, and we end as they do
if (!["bench", "doctor"].includes(process.argv[2]!)) {
  process.on("SIGINT", () => process.exit(130));
  process.on("SIGTERM", () => process.exit(143)); // what is unfinished is removed as the process exits
}
if (process.argv[2] === "bench") {
  process.on("SIGINT", () => (process.exitCode = 130));
  process.on("SIGTERM", () => (process.exitCode = 143));
}
process.on("uncaughtException", (error) => process.exit(reportFailure(error)));
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // EPIPE: whoever read us has had enough, as `| head` has
  process.exit(error.code === "EPIPE" ? 0 : reportFailure(new Error(`standard output: ${error.message}`)));
});
process.stderr.on("error", () => {}); // nobody to tell

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportFailure(error);
}
