/**
 * What sentence-transformers keeps beside an encoder, in sentence_bert_config.json: lengths are followed; what would make it
 * compute something else is refused by name. Mirrors Transformer.__init__ and its load_config.
 */

import { at, childOf, choiceOf, countOf, type Fields, optional, wrong } from "../tokenizer/fields.ts";

export interface EncoderSettings {
  /** Whether its classifier's logits are read, instead of the vectors of tokens. */
  readonly classifies: boolean;
  /** Tokens; undefined where the file does not say. */
  readonly maxSeqLength: number | undefined;
}

const TASKS = ["feature-extraction", "sequence-classification"] as const;

/** Arguments that change nothing here: where files come from, how they are computed, and padding, of which there is none. */
const HARMLESS = new Set([
  ...["attn_implementation", "cache_dir", "device_map", "dtype", "low_cpu_mem_usage", "torch_dtype"],
  ...["local_files_only", "revision", "trust_remote_code", "use_fast", "use_safetensors"],
  ...["pad_to_multiple_of", "padding", "padding_side", "return_tensors", "truncation"],
]);

/** @throws TypeError for what is malformed or not followed */
export function readEncoderSettings(fields: Fields): EncoderSettings {
  const classifies = choiceOf(fields, "transformer_task", TASKS, TASKS[0]) === TASKS[1];
  const [output, feature] = classifies ? ["logits", "scores"] : ["last_hidden_state", "token_embeddings"];
  const text = within(within(fields, "modality_config"), "text");
  if (text) choiceOf(text, "method_output_name", [output], output);
  choiceOf(fields, "module_output_name", [feature], feature);
  argumentsOf(fields, ["model_args", "model_kwargs", "config_args", "config_kwargs"]);
  const most = argumentsOf(fields, ["tokenizer_args", "processor_kwargs"], "model_max_length");
  const called = argumentsOf(within(fields, "processing_kwargs"), ["common", "text"], "max_length");
  return { classifies, maxSeqLength: called ?? most ?? lengthIn(fields, "max_seq_length") };
}

/** Of the arguments under these names the one that is a length: the last that is given. */
function argumentsOf(from: Fields | undefined, names: readonly string[], length?: string): number | undefined {
  let found: number | undefined;
  for (const own of names.map((name) => within(from, name))) {
    for (const [key, value] of Object.entries(own?.values ?? {})) {
      if (key === length) found = lengthIn(own!, key) ?? found;
      else if (!HARMLESS.has(key)) throw wrong(at(own!, key), value, "no such argument: it is not followed here");
    }
  }
  return found;
}

function lengthIn(fields: Fields, name: string): number | undefined {
  return optional(fields, name, () => countOf(fields, name, 3, 1 << 20));
}

function within(fields: Fields | undefined, name: string): Fields | undefined {
  return fields && optional(fields, name, childOf);
}
