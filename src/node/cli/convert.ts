/** `convert IN OUT`: writes the weights of a model, in any format that is read, as one safetensors file. */

import { stat } from "node:fs/promises";
import { Command } from "commander";
import { ADAPTER_FILES, type AdapterFile, openAdapter } from "../../bert/adapter_file.ts";
import { mergedTensors } from "../../bert/merge.ts";
import { type Checkpoint, openCheckpoint, openCheckpointFile } from "../../files/checkpoint.ts";
import {
  planSafetensors,
  type SafetensorsPlan,
  type WritableTensors,
  writeSafetensors,
} from "../../files/safetensors_writer.ts";
import { type Claim, claimOutput, refuseInputs, type Write, writeOutput } from "../data/claim.ts";
import { openFile } from "../folder.ts";
import { dtypeOption } from "./command.ts";
import { InputError } from "./failure.ts";
import { openAdapterFolder, openModelFolder, refuseModel } from "./model.ts";
import { print, printable, printRaw, say, warnings } from "./output.ts";
import { barsOn, progress } from "./progress_bar.ts";

interface ConvertOptions {
  readonly json: boolean;
  readonly dtype?: "f32" | "f16";
  readonly force: boolean;
  readonly verify: boolean;
  readonly mergeLora?: string;
}

export function convertCommand(): Command {
  return new Command("convert")
    .description("write a model's weights, of PyTorch or in several files, as one safetensors file")
    .argument(
      "<IN>",
      "model folder, org/name[@revision] of the hub, or a file such as pytorch_model.bin; nothing in it is executed",
    )
    .argument("<OUT>", "the file to write, such as model.safetensors; - is standard output")
    .option(
      "--merge-lora <ADAPTER>",
      "merge a LoRA adapter of PEFT into them: a folder with adapter_config.json, or org/name[@revision] of the hub",
    )
    .option("--json", "JSON Lines: one object per line", false)
    .addOption(dtypeOption("type of floating-point weights (default: as stored)", ["f32", "f16"]))
    .option("--force", "overwrite OUT when it is there", false)
    .option("--verify", "hash the files of a model of the hub before they are used, also those in the cache", false)
    .action(convert);
}

async function convert(from: string, out: string, options: ConvertOptions): Promise<void> {
  const { json, dtype, force, verify, mergeLora } = options;
  if (out === "-" && process.stdout.isTTY) throw new InputError("-: weights are no text for a terminal; send them on");
  const refuse = force ? undefined : new InputError(`${out}: it is there already; --force overwrites it`);
  const claim = out === "-" ? undefined : await claimOutput(out, { inputs: [from], refuse });
  const notes = warnings();
  try {
    const checkpoint = await openWeights(from, claim, { json, verify });
    let adapter: AdapterFile | undefined;
    try {
      for (const warning of checkpoint.warnings) notes.warn(warning);
      if (mergeLora !== undefined) {
        const folder = await openAdapterFolder(mergeLora, { json, verify });
        if (claim) await refuseModel(claim, folder, ADAPTER_FILES);
        adapter = await openAdapter(folder);
      }
      const tensors = adapter ? mergedTensors(checkpoint, adapter) : checkpoint;
      const plan = planSafetensors(tensors, { ...(dtype && { dtype }), metadata: { format: "pt" } });
      const files = [...checkpoint.files.keys()];
      const read = [...checkpoint.files.values()].map(({ source }) => source.name);
      if (claim) {
        await refuseInputs(claim, read);
        await writeOutput(claim, (write) => writeAll(write, tensors, plan, json));
      } else await writeAll(printRaw, tensors, plan, json);
      const summary = summaryOf(plan);
      const said = json ? JSON.stringify({ path: out, from, files, ...summary }) : asText(from, out, summary);
      if (claim) await print(said);
      else say(said); // standard output has the weights
    } finally {
      await checkpoint.close();
      await adapter?.checkpoint.close();
    }
  } finally {
    notes.end();
    await claim?.release();
  }
}

async function openWeights(
  path: string,
  output: Claim | undefined,
  options: Pick<ConvertOptions, "json" | "verify">,
): Promise<Checkpoint> {
  const found = await stat(path).catch(() => undefined);
  if (found && !found.isDirectory()) return openCheckpointFile(await openFile(path));
  const folder = await openModelFolder(path, options);
  if (output) await refuseModel(output, folder);
  return openCheckpoint(folder);
}

async function writeAll(
  write: Write,
  checkpoint: WritableTensors,
  plan: SafetensorsPlan,
  json: boolean,
): Promise<void> {
  const shown = progress("writing", barsOn({ json }));
  try {
    let done = 0;
    for await (const slice of writeSafetensors(checkpoint, plan)) {
      await write(slice);
      done += slice.length;
      shown.at(done / plan.bytes);
    }
  } finally {
    shown.end();
  }
}

interface Summary {
  readonly tensors: number;
  /** Elements of all tensors. */
  readonly parameters: number;
  /** Of the file. */
  readonly bytes: number;
  /** Tensors of each type. */
  readonly dtypes: Readonly<Record<string, number>>;
  /** Tensors whose type was changed. */
  readonly converted: number;
}

function summaryOf({ tensors, bytes }: SafetensorsPlan): Summary {
  const dtypes: Record<string, number> = {};
  for (const { dtype } of tensors) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
  return {
    tensors: tensors.length,
    parameters: tensors.reduce((sum, { elements }) => sum + elements, 0),
    bytes,
    dtypes,
    converted: tensors.filter(({ target }) => target !== undefined).length,
  };
}

function asText(from: string, out: string, { tensors, parameters, bytes, dtypes, converted }: Summary): string {
  const count = (value: number): string => value.toLocaleString("en");
  const types = Object.entries(dtypes).map(([dtype, n]) => `${count(n)} ${dtype}`);
  const changed = converted > 0 ? `, ${count(converted)} of them converted` : "";
  return printable(
    `${out}: ${count(tensors)} tensors of ${from} (${types.join(" + ")}${changed}), ` +
      `${count(parameters)} parameters, ${count(bytes)} bytes`,
  );
}
