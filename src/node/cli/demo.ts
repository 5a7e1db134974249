/** `demo`: what the model does, on a few sentences or on those given. */

import { basename } from "node:path";
import type { Command } from "commander";
import { fillMask } from "../../bert/tasks/fill_mask.ts";
import { classifyText } from "../../bert/tasks/text_classification.ts";
import { labelText } from "./classify.ts";
import { type CommonOptions, newCommand } from "./command.ts";
import { fillText, hasMask, maskToken } from "./fill_mask.ts";
import { adapterText, print } from "./output.ts";
import { withSession } from "./session.ts";
import { textBatches } from "./texts.ts";

const SENTENCES = [
  "a gorgeous , witty , seductive movie .",
  "Dull, lifeless and far too long.",
  "It starts slowly, but I loved every minute of it.",
];

export function demoCommand(): Command {
  return newCommand("demo", "show what the model does: fill a mask, label a few sentences")
    .argument("[TEXT...]", "texts in place of the built-in ones: with [MASK] to be filled, without to be labelled")
    .action(demo);
}

async function demo(args: readonly string[], options: CommonOptions): Promise<void> {
  const { json } = options;
  const texts: string[] = [];
  for await (const batch of textBatches(args)) texts.push(...batch);
  const begin = performance.now();
  await withSession(
    options,
    async ({ tokenizer, taskOptions, start }) => {
      const { engine, pretrained } = await start();
      const { adapter } = engine;
      const { model } = pretrained;
      const show = async (result: object, lines: readonly string[]): Promise<void> =>
        print(json ? JSON.stringify({ ...result, adapter }) : lines.join("\n"));

      const { numHiddenLayers: layers, hiddenSize: hidden } = model.config;
      const ready = since(begin);
      await show({ model: model.name, dtype: model.dtype, weight_bytes: model.weightBytes, milliseconds: ready }, [
        `adapter  ${adapterText(adapter)}`,
        `model    ${basename(model.name)}: ${layers} layers, ${hidden} wide, ${(model.weightBytes / 1e6).toFixed(1)} MB in ${model.dtype}`,
        `ready after ${ready} ms`,
      ]);

      const masked = texts.filter((text) => hasMask(tokenizer, text));
      if (model.has("predictionTopK")) {
        const given = masked.length > 0 ? masked : [`one of the best ${maskToken(tokenizer)} of the year .`];
        const from = performance.now();
        const fills = await fillMask(pretrained, given, taskOptions);
        const taken = since(from);
        for (const [i, text] of given.entries()) {
          await show({ text, fills: fills[i], milliseconds: taken }, ["", ...fillText(text, fills[i]!)]);
        }
        if (!json) await print(`filled in ${taken} ms, kernels compiled on the way`);
      }
      if (model.has("logits") && model.classifierKind === "sequence") {
        const plain = texts.filter((text) => !masked.includes(text));
        const given = plain.length > 0 ? plain : SENTENCES;
        const from = performance.now();
        const labels = await classifyText(pretrained, given, { ...taskOptions, topK: null });
        const taken = since(from);
        if (!json) await print("");
        for (const [i, text] of given.entries()) {
          await show({ text, labels: labels[i], milliseconds: taken }, [labelText(text, labels[i]!)]);
        }
        if (!json) await print(`labelled in ${taken} ms`);
      }
    },
    { silent: true },
  );
  if (!json) await print(`\n${since(begin)} ms in all`);
}

const since = (begin: number): number => Math.round(performance.now() - begin);
