/** Fixtures of pipelines: the exact results of transformers' own, scores within the stated tolerance. */

import {
  classifyTokens,
  type Engine,
  type Entity,
  loadPretrained,
  openFolder,
  type Pretrained,
  pipeline,
} from "../../src/node/index.ts";
import { agreementOf } from "./agreement.ts";
import { type FeatureCase, featureFindings } from "./features.ts";
import { exactFinding, type Finding, type Fixture, numberFinding } from "./fixture.ts";
import { withBothOffsets } from "./offsets.ts";

interface Case {
  readonly name: string;
  readonly inputs: unknown;
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly output: unknown;
  readonly score_tolerance: number;
  /** Instead of the tokenizer's own. */
  readonly model_max_length?: number;
}

/** What makes a batch or cuts a text, which is done without being asked. */
const WITHOUT_EFFECT = ["batch_size", "padding", "max_length", "truncation", "tokenizer_kwargs", "tokenize_kwargs"];

const FEATURES = "feature-extraction";

type Runner = (pretrained: Pretrained, testCase: Case) => Promise<unknown>;

const RUNNERS: Readonly<Record<string, Runner>> = {
  "text-classification": async (pretrained, { inputs, kwargs }) => {
    const classify = await pipeline("text-classification", pretrained);
    return classify(inputs as string, optionsOf(kwargs));
  },
  "fill-mask": async (pretrained, { inputs, kwargs }) => {
    const fill = await pipeline("fill-mask", pretrained);
    const { targets } = kwargs;
    const cut = (kwargs.tokenizer_kwargs as { truncation?: boolean } | undefined)?.truncation ?? false;
    return fill(inputs as string, {
      ...optionsOf(kwargs),
      ...(typeof targets === "string" && { targets: [targets] }),
      truncation: cut,
    });
  },
  "token-classification": tagTokens,
  "question-answering": async (pretrained, { inputs, kwargs }) => {
    const answer = await pipeline("question-answering", pretrained);
    const { question, context } = inputs as { question: string; context: string };
    const found = await answer(question, context, optionsOf(kwargs));
    const answers = [found].flat().map((one) => withBothOffsets(context, one));
    return answers.length === 1 ? answers[0] : answers;
  },
  "zero-shot-classification": async (pretrained, { inputs, kwargs }) => {
    const classify = await pipeline("zero-shot-classification", pretrained);
    const { candidate_labels, ...rest } = kwargs;
    return classify(inputs as string, candidate_labels as string, optionsOf(rest));
  },
};

export function whyTaskIsSkipped({ task }: Fixture, dtype: "f32" | "f16"): string | undefined {
  if (task !== FEATURES && !Object.hasOwn(RUNNERS, task!)) return `task ${task} is not run`;
  return dtype === "f16" ? "its results are those of f32" : undefined;
}

export async function* runTaskFixture(engine: Engine, folder: string, fixture: Fixture): AsyncGenerator<Finding> {
  const own = await loadPretrained(engine, openFolder(folder));
  try {
    for (const testCase of fixture.cases as readonly Case[]) {
      const { model_max_length: modelMaxLength = own.tokenizer.modelMaxLength } = testCase;
      const pretrained = { ...own, tokenizer: { ...own.tokenizer, modelMaxLength } };
      if (fixture.task === FEATURES) yield* featureFindings(pretrained, testCase as Case & FeatureCase);
      else yield findingOf(testCase, await RUNNERS[fixture.task!]!(pretrained, testCase));
    }
  } finally {
    own.model.dispose();
  }
}

function findingOf({ name, output, score_tolerance: tolerance }: Case, actual: unknown): Finding {
  const { error, fault } = agreementOf(actual, output);
  return fault === undefined ? numberFinding(name, error, tolerance) : exactFinding(name, fault);
}

async function tagTokens(pretrained: Pretrained, { inputs, kwargs }: Case): Promise<unknown> {
  const { is_split_into_words: split, ...rest } = kwargs;
  // without a stride, the pipeline of transformers cuts
  const options = { ...optionsOf(rest), truncation: kwargs.stride === undefined };
  const both = (text: string, entities: Entity[]) => entities.map((entity) => withBothOffsets(text, entity));
  if (split) {
    const words = inputs as readonly string[];
    const { aggregation_strategy: aggregationStrategy } = rest as { aggregation_strategy: "first" };
    const [entities] = await classifyTokens(pretrained, [words], { aggregationStrategy });
    return [both(words.join(" "), entities!)];
  }
  const tag = await pipeline("token-classification", pretrained);
  if (typeof inputs === "string") return both(inputs, await tag(inputs, options));
  const texts = inputs as readonly string[];
  return (await tag(texts, options)).map((entities, i) => both(texts[i]!, entities));
}

function optionsOf(kwargs: Readonly<Record<string, unknown>>): Record<string, never> {
  const entries = Object.entries(kwargs).filter(([name]) => !WITHOUT_EFFECT.includes(name));
  return Object.fromEntries(entries) as Record<string, never>;
}
