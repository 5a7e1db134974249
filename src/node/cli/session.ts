/** A command at work: the model folder checked, the GPU started when the first text needs it, all freed at the end. */

import { loadAdapter } from "../../bert/adapter.ts";
import { ADAPTER_FILES } from "../../bert/adapter_file.ts";
import { ModelError } from "../../bert/config.ts";
import type { GenerationModelConfig } from "../../bert/generation/config.ts";
import { loadGenerator, type TextGenerator } from "../../bert/generation/generator.ts";
import { openGenerationModel } from "../../bert/generation/model.ts";
import { BertModel } from "../../bert/model.ts";
import type { Pretrained, TaskOptions } from "../../bert/tasks/pretrained.ts";
import { findSentenceModules, folderAt, MODULES } from "../../bert/tasks/sentence_modules.ts";
import { loadSettings } from "../../bert/tasks/settings.ts";
import { loadTokenizer } from "../../bert/tokenizer/load.ts";
import type { Tokenizer } from "../../bert/tokenizer/tokenizer.ts";
import type { FillOptions } from "../../bert/weights.ts";
import { type Folder, readText } from "../../files/bytes.ts";
import type { Engine } from "../../runtime/engine.ts";
import { type Claim, withClaim } from "../data/claim.ts";
import { createEngine } from "../engine.ts";
import { checkAdapter } from "../lora.ts";
import type { CommonOptions } from "./command.ts";
import { InputError } from "./failure.ts";
import type { FileOptions } from "./file_options.ts";
import { fingerprints } from "./fingerprint.ts";
import { inspectFolder, NO_TOKENIZER } from "./inspect.ts";
import { openAdapterFolder, openModelFolder, refuseModel } from "./model.ts";
import { adapterText, print, say, warnings } from "./output.ts";
import { barsOn, progress } from "./progress_bar.ts";
import { quietTerminal } from "./quiet_terminal.ts";
import { textBatches } from "./texts.ts";

export interface Session<Loaded = Pretrained> {
  readonly tokenizer: Tokenizer;
  /** For the tasks: their warnings go to stderr. */
  readonly taskOptions: TaskOptions;
  /** Results are JSON, and no bars are wanted. */
  readonly quiet: boolean;
  /** Does `work`, of whose warnings it is said where they belong. */
  at<T>(place: string, work: () => T): T;
  /** A result as JSON, with the adapter that computed it; without `--json` a line on stderr says it. */
  json(result: object): string;
  /** Starts the GPU and loads the model, once. */
  start(): Promise<{ readonly engine: Engine; readonly pretrained: Loaded }>;
  /** What is written, which is this job's own. */
  readonly output?: Claim | undefined;
  /** Of every file that makes the model what it is, by its path: weights, configuration, tokenizer and what they name. */
  fingerprints(): Promise<Readonly<Record<string, string>>>;
}

/** What commands have that work through files: an output is claimed before anything else is done. */
type SessionOptions = CommonOptions & Partial<Pick<FileOptions, "input" | "output" | "resume" | "force">>;

/**
 * Runs `work` with a model; `silent` where it says itself which adapter computes. Whatever is wrong with its folder is said before a GPU is looked for.
 * @throws ModelError with every fault of configuration, weights and tokenizer
 */
export async function withSession(
  options: SessionOptions,
  work: (session: Session) => Promise<void>,
  { silent = false }: { readonly silent?: boolean } = {},
): Promise<void> {
  const { input, output: path } = options;
  const inputs = input === undefined ? [] : [input];
  await withClaim(path === "-" ? undefined : path, { inputs }, (output) => withModel(options, output, silent, work));
}

/** The same for an output that is claimed already. */
export async function withModel(
  options: CommonOptions,
  output: Claim | undefined,
  silent: boolean,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const read = new Set<string>();
  const folder = remembering(await openModelFolder(options.model, options), read);
  const { tokenizer, faults, warnings: odd } = await inspectFolder(folder);
  if (faults.length > 0) throw new ModelError(folder.name, faults);
  if (!tokenizer) throw new ModelError(folder.name, [NO_TOKENIZER]);
  const modules = (await readText(folder, MODULES)) ?? "";
  const { warn, end } = warnings();
  const found = await findSentenceModules(folder, modules, warn);
  const filesOf = async (): Promise<readonly string[]> => {
    await loadSettings(folder, { has: () => true }, modules); // which of them a task needs is told by the weights
    return [...read];
  };
  if (output) await refuseModel(output, folder, await filesOf());
  const lora = options.lora === undefined ? undefined : await openAdapterFolder(options.lora, options);
  if (lora) {
    await checkAdapter(lora, folder, warn); // what is wrong with it is told before a GPU is looked for
    if (output) await refuseModel(output, lora, ADAPTER_FILES);
  }
  for (const warning of odd) warn(`${folder.name}: ${warning}`);
  await atWork(options, output, silent, work, {
    ...{ folder, tokenizer, filesOf, warn, end },
    async load(engine, onProgress) {
      const { dtype } = options;
      const base = await BertModel.load(engine, folderAt(folder, found.sentence?.path ?? ""), { dtype, onProgress });
      const pretrained = { model: base, tokenizer, ...found, settings: await loadSettings(folder, base, modules) };
      return lora ? loadAdapter(pretrained, lora) : pretrained;
    },
    async others() {
      const adapter = lora ? await fingerprints(lora, ADAPTER_FILES, () => {}) : {};
      return Object.fromEntries(Object.entries(adapter).map(([path, hash]) => [`lora/${path}`, hash]));
    },
  });
}

/** What a session is of: a folder that is checked, and how it is loaded. */
interface Opening<Loaded> {
  readonly folder: Folder;
  readonly tokenizer: Tokenizer;
  filesOf(): Promise<readonly string[]>;
  warn(message: string): void;
  /** When all is over. */
  end(): void;
  load(engine: Engine, onProgress: NonNullable<FillOptions["onProgress"]>): Promise<Loaded>;
  /** Fingerprints of what is beside the folder. */
  others(): Promise<Readonly<Record<string, string>>>;
}

async function atWork<Loaded>(
  options: CommonOptions,
  output: Claim | undefined,
  silent: boolean,
  work: (session: Session<Loaded>) => Promise<void>,
  { folder, tokenizer, filesOf, warn, end, load, others }: Opening<Loaded>,
): Promise<void> {
  let where = "";
  let engine: Engine | undefined;
  let started: ReturnType<Session<Loaded>["start"]> | undefined;
  const start: Session<Loaded>["start"] = async () => {
    const { adapter, batchInvariant } = options;
    engine = await quietTerminal(() => createEngine({ adapter, batchInvariant }));
    if (!options.json && !silent) say(`adapter: ${adapterText(engine.adapter)}`);
    const loading = progress("loading the model", barsOn(options));
    try {
      const pretrained = await load(engine, ({ loaded, total }) => loading.at(loaded / total));
      return { engine, pretrained };
    } finally {
      loading.end();
    }
  };
  try {
    await work({
      tokenizer,
      taskOptions: { onWarning: (message) => warn(where + message) },
      at(place, work) {
        where = `${place}: `;
        try {
          return work();
        } finally {
          where = "";
        }
      },
      json: (result) => JSON.stringify({ ...result, adapter: engine?.adapter.name }),
      start() {
        started ??= start();
        return started;
      },
      output,
      async fingerprints() {
        const hashing = progress("hashing the model", barsOn(options));
        const own = await fingerprints(folder, await filesOf(), hashing.at).finally(hashing.end);
        return { ...own, ...(await others()) };
      },
      quiet: options.json,
    });
  } finally {
    end();
    engine?.dispose();
  }
}

/**
 * As `withSession`, with a model that writes text.
 * @param prepare what is asked of it, which is refused before a GPU is looked for
 * @throws ModelError for one that does not, and with every fault of configuration, weights and tokenizer
 */
export async function withGenerator<Prepared>(
  options: SessionOptions,
  prepare: (config: GenerationModelConfig, tokenizer: Tokenizer) => Prepared,
  work: (session: Session<TextGenerator>, prepared: Prepared) => Promise<void>,
): Promise<void> {
  const { input, output: path, lora } = options;
  if (lora !== undefined) throw new InputError("--lora: adapters are for encoders, not for models that write text");
  const inputs = input === undefined ? [] : [input];
  await withClaim(path === "-" ? undefined : path, { inputs }, async (output) => {
    const read = new Set<string>();
    const folder = remembering(await openModelFolder(options.model, options), read);
    const { warn, end } = warnings();
    const { config, checkpoint } = await openGenerationModel(folder, { onWarning: warn });
    await checkpoint.close();
    const tokenizer = await loadTokenizer(folder);
    const prepared = prepare(config, tokenizer);
    if (output) await refuseModel(output, folder, [...read]);
    await atWork<TextGenerator>(options, output, false, (session) => work(session, prepared), {
      ...{ folder, tokenizer, warn, end },
      filesOf: async () => [...read],
      load: (engine, onProgress) => loadGenerator(engine, folder, { dtype: options.dtype, onProgress }),
      others: async () => ({}),
    });
  });
}

/** @param read gets the paths of all that is asked for, there or not */
function remembering(folder: Folder, read: Set<string>): Folder {
  return {
    name: folder.name,
    open(path) {
      read.add(path);
      return folder.open(path);
    },
  };
}

/**
 * Answers texts in their order, batch by batch.
 * @param task gives one answer per text
 * @param show the line or lines for each
 * @param lacks what a text is without and cannot be; those before it are answered first
 * @throws InputError for a text that lacks something
 */
export async function answer<Answer>(
  texts: readonly string[],
  task: (batch: readonly string[]) => Promise<readonly Answer[]>,
  show: (text: string, answer: Answer) => string,
  lacks: (text: string) => string | undefined = () => undefined,
): Promise<void> {
  let done = 0;
  for await (const batch of textBatches(texts)) {
    const faulty = batch.findIndex((text) => lacks(text) !== undefined);
    const good = faulty < 0 ? batch : batch.slice(0, faulty);
    const answers = good.length > 0 ? await task(good) : [];
    for (const [i, given] of answers.entries()) await print(show(good[i]!, given));
    done += good.length;
    if (faulty < 0) continue;
    const text = batch[faulty]!;
    throw new InputError(`text ${done + 1} has ${lacks(text)}: ${JSON.stringify(text.slice(0, 60))}`);
  }
}
