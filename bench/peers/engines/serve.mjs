/**
 * A peer's side of the conversation. It is started with a task file, loads its engine, makes a first forward pass and
 * says so; from then on it waits for a line of stdin and answers each with a line of stdout:
 *
 *   {"do":"run"}                 one forward pass      -> {"ms":1.5}
 *   {"do":"output","file":"..."} write the last output -> {}
 *   {"do":"end"}                 leave                 -> {"peakBytes":100000000}
 *
 * Where a training step is timed it takes the place of the forward pass, and the output is the losses of all steps.
 * Answers begin with a mark, because libraries print to stdout too. What fails is answered {"error":"..."}.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const MARK = "@peer ";

/**
 * @param load takes the task, gives `forward`, from ids in memory to the last hidden state [batch * tokens, hidden] in
 *   memory, and what else the first answer should tell
 */
export async function serve(load) {
  try {
    const { forward, ...about } = await load(JSON.parse(readFileSync(process.argv[2], "utf8")));
    let output = await forward();
    answer(about);
    for await (const line of createInterface({ input: process.stdin })) {
      const command = JSON.parse(line);
      if (command.do === "run") {
        const started = performance.now();
        output = await forward();
        answer({ ms: performance.now() - started });
      } else if (command.do === "output") {
        writeFileSync(command.file, output);
        answer({});
      } else {
        answer({ peakBytes: peakMemory() });
        break;
      }
    }
    process.exit(); // also where the parent is gone; threads of a library would keep the process
  } catch (error) {
    answer({ error: String(error?.message ?? error) });
    process.exit(1);
  }
}

function answer(message) {
  process.stdout.write(`${MARK}${JSON.stringify(message)}\n`);
}

/** The kernel's own count for this program: getrusage's begins with that of the parent. */
function peakMemory() {
  if (process.platform !== "linux") return process.resourceUsage().maxRSS * 1024;
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
}

/** The folder of a package among the installed peers. */
export function packageFolder(install, name) {
  return join(install, "node_modules", name);
}

/** A package of the installed peers as `require` finds it there. */
export function importPeer(install, name) {
  return import(pathToFileURL(createRequire(join(install, "package.json")).resolve(name)).href);
}

/** Of a training step that gives its loss, a `forward` whose output is the losses of all steps so far. */
export function lossesOf(step) {
  const losses = [];
  return async () => {
    losses.push(await step());
    return Float32Array.from(losses);
  };
}

/** The classes that are learnt: two in turn. */
export function labelsOf({ batch }) {
  return Int32Array.from({ length: batch }, (_, i) => i % 2);
}

/** Whether weight decay applies to a tensor. */
export function isDecayed(name) {
  return !name.endsWith("bias") && !name.includes("LayerNorm");
}

/** What an exported BERT takes. */
export function feedsOf(Tensor, { batch, tokens, ids }) {
  const tensor = (value) => new Tensor("int64", BigInt64Array.from(ids, value), [batch, tokens]);
  return { input_ids: tensor(BigInt), attention_mask: tensor(() => 1n), token_type_ids: tensor(() => 0n) };
}

/** The configuration, and the tensors of an f32 model.safetensors by name: `{ shape, data }`. */
export function readModel(folder) {
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  const file = new Uint8Array(readFileSync(join(folder, "model.safetensors"))).buffer;
  const begin = 8 + Number(new DataView(file).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, begin - 8)));
  const tensors = {};
  for (const [name, { shape, data_offsets }] of Object.entries(header)) {
    const [from, to] = data_offsets;
    tensors[name] = { shape, data: new Float32Array(file, begin + from, (to - from) / 4) };
  }
  return { config, tensors };
}
