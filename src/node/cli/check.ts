/** `check PATH...`: says what a safetensors file or a model folder is, or every fault of it. */

import type { Command } from "commander";
import type { BertConfig } from "../../bert/config.ts";
import type { PartConfig } from "../../bert/generation/config.ts";
import { type CommonOptions, newCommand } from "./command.ts";
import { type CheckpointSummary, type Inspection, inspectPath } from "./inspect.ts";
import { aligned, print, printable, say } from "./output.ts";

export function checkCommand(): Command {
  return newCommand("check", "say what a safetensors file or a model folder is, or every fault of it", { gpu: false })
    .argument("[PATH...]", "files, folders, models of the hub (default: --model)")
    .addHelpText("after", "\nAll values are read. Exit code: 0 when all are good, 2 when one is refused.")
    .action(async (paths: readonly string[], { json, model, verify }: CommonOptions) => {
      for (const path of paths.length > 0 ? paths : [model]) {
        const found = await inspectPath(path, { json, verify });
        await print(json ? JSON.stringify(asJson(path, found)) : asText(path, found).join("\n"));
        const [first, ...more] = found.faults;
        if (first === undefined) continue;
        process.exitCode = 2;
        const kind = found.kind ? `not a valid ${found.kind}: ` : "";
        const rest = more.length > 0 ? ` (and ${more.length} more)` : "";
        say(`error: ${printable(`${path}: ${kind}${first}${rest}`)}`);
      }
    });
}

function asJson(path: string, { kind, config, writer, checkpoint, parts, tokenizer, ...rest }: Inspection): unknown {
  return {
    path,
    ok: rest.faults.length === 0,
    kind,
    ...(config && { config }),
    ...(writer && { encoder: writer.encoder, decoder: writer.decoder }),
    ...(checkpoint && { checkpoint }),
    ...(parts && { heads: parts.titles }),
    ...(tokenizer && { tokenizer: { file: rest.tokenizerFile, tokens: tokenizer.vocabSize } }),
    warnings: rest.warnings,
    faults: rest.faults,
  };
}

function asText(path: string, { faults, warnings, ...found }: Inspection): string[] {
  const kind = found.kind ?? "file or folder";
  const verdict = faults.length > 0 ? `refused as a ${kind}, ${plural(faults.length, "fault")}` : kind;
  const rows: string[][] = [];
  if (faults.length === 0) {
    const { config, writer, checkpoint, parts, tokenizer, tokenizerFile } = found;
    if (config) rows.push(["model", configText(config)]);
    if (writer?.encoder) rows.push(["encoder", partText(writer.encoder)]);
    if (writer) rows.push(["decoder", partText(writer.decoder)]);
    if (checkpoint) rows.push(["weights", checkpointText(checkpoint)]);
    if (parts) rows.push(["heads", parts.titles.join(", ") || "none"]);
    if (tokenizer) rows.push(["tokenizer", `WordPiece, ${count(tokenizer.vocabSize)} tokens (${tokenizerFile})`]);
    else if (config || writer) rows.push(["tokenizer", "none: it takes token ids, not texts"]);
  }
  return [
    `${path}: ${verdict}`,
    ...aligned(rows).map((line) => `  ${line}`),
    ...faults.map((fault) => `  - ${fault}`),
    ...warnings.map((warning) => `  warning: ${warning}`),
  ].map(printable);
}

function configText(config: BertConfig): string {
  return [
    config.architectures.join(", ") || "BERT",
    plural(config.numHiddenLayers, "layer"),
    `${config.hiddenSize} wide`,
    plural(config.numAttentionHeads, "attention head"),
    `${config.maxPositionEmbeddings} positions`,
    `${count(config.vocabSize)} word pieces`,
  ].join(", ");
}

function partText(part: PartConfig): string {
  return configText({ ...part, architectures: [part.generation ? "BertGeneration" : "BERT"] });
}

function checkpointText({ files, tensors, parameters, bytes, dtypes }: CheckpointSummary): string {
  const types = Object.entries(dtypes).map(([dtype, n]) => `${n} ${dtype}`);
  return [
    plural(tensors, "tensor"),
    `${count(parameters)} parameters`,
    `${count(bytes)} bytes`,
    types.join(" + ") || "empty",
    ...(files.length > 1 ? [plural(files.length, "file")] : []),
  ].join(", ");
}

const count = (value: number): string => value.toLocaleString("en");

const plural = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
