/** Fixtures of single heads: one output and one tolerance for all, sequences padded to one length. */

import { BertModel, type Engine, maxSim, openFolder, type Sequence, type Values } from "../../src/node/index.ts";
import { type Finding, type Fixture, numberFinding } from "./fixture.ts";
import { type ExpectedTensor, largestError } from "./tensors.ts";

interface Padded {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
}

interface HeadFixture {
  readonly outputs: Readonly<Record<string, ExpectedTensor | readonly (readonly number[])[]>>;
  readonly tolerance: number;
  readonly inputs: Padded;
  readonly queries: Padded;
  readonly documents: Padded;
}

type Findings = (model: BertModel, fixture: HeadFixture) => AsyncGenerator<Finding>;

/** By an output that only such a fixture has. */
const RUNNERS: Readonly<Record<string, Findings>> = { sparse_embedding: sparseFindings, maxsim: lateFindings };

export function isHeadFixture({ outputs }: Fixture): boolean {
  return Object.keys(RUNNERS).some((name) => Object.hasOwn((outputs as object | undefined) ?? {}, name));
}

export async function* runHeadFixture(engine: Engine, folder: string, fixture: Fixture): AsyncGenerator<Finding> {
  const model = await BertModel.load(engine, openFolder(folder));
  try {
    const { outputs, ...rest } = fixture as unknown as HeadFixture;
    for (const [name, run] of Object.entries(RUNNERS)) if (outputs[name]) yield* run(model, { outputs, ...rest });
  } finally {
    model.dispose();
  }
}

async function* sparseFindings(model: BertModel, { inputs, outputs, tolerance }: HeadFixture): AsyncGenerator<Finding> {
  const { sparseEmbedding } = await model.forward(sequencesOf(inputs), { sparseEmbedding: true });
  const error = largestError(sparseEmbedding!.data, outputs.sparse_embedding as ExpectedTensor);
  yield numberFinding("sparse_embedding", error, tolerance);
}

async function* lateFindings(
  model: BertModel,
  { queries, documents, outputs, tolerance }: HeadFixture,
): AsyncGenerator<Finding> {
  const vectors: Float32Array[][] = [];
  let dim = 0;
  for (const [name, padded] of Object.entries({ query_vectors: queries, document_vectors: documents })) {
    const { tokenEmbeddings } = await model.forward(sequencesOf(padded), { tokenEmbeddings: true });
    dim = tokenEmbeddings!.shape[1]!;
    const expected = outputs[name] as ExpectedTensor;
    vectors.push(seen(tokenEmbeddings!, padded));
    const wanted = seen({ shape: [], data: Float32Array.from(expected.data.map(Number)) }, padded, dim);
    const errors = vectors
      .at(-1)!
      .map((rows, i) => largestError(rows, { shape: [rows.length], data: Array.from(wanted[i]!) }));
    yield numberFinding(name, Math.max(...errors), tolerance);
  }
  const [asked, answering] = vectors;
  const scores = asked!.flatMap((query) => answering!.map((document) => maxSim(query, document, dim)));
  const maxsim = (outputs.maxsim as readonly (readonly number[])[]).flat();
  yield numberFinding("maxsim", largestError(scores, { shape: [maxsim.length], data: maxsim }), tolerance);
}

function sequencesOf({ input_ids, attention_mask }: Padded): Sequence[] {
  return input_ids.map((inputIds, i) => ({ inputIds, attentionMask: attention_mask[i]! }));
}

/** Per sequence the rows of its unmasked tokens, which come before the others. */
function seen({ shape, data }: Values, { attention_mask }: Padded, dim = shape[1]!): Float32Array[] {
  return attention_mask.map((mask, i) => {
    const begin = i * mask.length;
    return data.subarray(begin * dim, (begin + mask.filter((one) => one === 1).length) * dim);
  });
}
