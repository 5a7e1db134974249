/**
 * `npm run isa`: registers, spills, occupancy and main loops of every kernel that the engine chooses for BERT-base and
 * MiniLM, as Mesa's RADV compiles them for RDNA2, RDNA3 and RDNA4, without such a GPU.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { packageRoot } from "../../src/node/cli/package.ts";
import { openToolchain } from "./families.ts";
import { isaMarkdown } from "./markdown.ts";
import { CARDS, predict, predictionLine } from "./roofline.ts";
import { isaTable, standardTasks } from "./rows.ts";

const program = new Command("isa")
  .description("what AMD's shader compiler makes of the kernels, without a GPU: needs Linux, Mesa's RADV and cc")
  .option("--output <FILE>", "the table as JSON; as Markdown beside it", "bench/results/isa.json")
  .option("--model <NAME>", "base or minilm alone: a quick look")
  .action(async ({ output, model }: { output: string; model?: string }) => {
    const toolchain = openToolchain(packageRoot(), join(import.meta.dirname, "isa_compiler.js"));
    const tasks = standardTasks().filter((task) => model === undefined || task.model === model);
    if (tasks.length === 0) throw new RangeError(`--model ${model}: the table has base and minilm`);
    const table = await isaTable(toolchain, tasks, (what) => console.error(what));
    await mkdir(dirname(output), { recursive: true });
    const { rows, ...origin } = table;
    const lines = rows.map((row) => JSON.stringify(row)).join(",\n");
    await writeFile(output, `${JSON.stringify(origin).slice(0, -1)},"rows":[\n${lines}\n]}\n`);
    const markdown = output.replace(/(\.json)?$/, ".md");
    await writeFile(markdown, isaMarkdown(table, "npm run isa"));
    for (const card of CARDS) {
      const file = join(dirname(output), `prediction-${card.name.toLowerCase().replaceAll(" ", "-")}.json`);
      const rows = predict(table, card);
      await writeFile(file, `${JSON.stringify({ card, rows }, null, 1)}\n`);
      console.log(predictionLine(card, rows));
    }
    const spilled = table.rows.filter((row) => row.spilled > 0);
    for (const { family, launch, dtype, spilled: words } of spilled)
      console.log(`spills: ${family} ${launch} ${dtype}: ${words}`);
    for (const { family, launch, fault } of table.failures) console.log(`failed: ${family} ${launch}: ${fault}`);
    console.log(`${table.rows.length} rows in ${output}, for people in ${markdown}`);
    process.exitCode = table.failures.length > 0 ? 1 : 0;
  });

await program.parseAsync().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
