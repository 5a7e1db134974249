/** What an author's file is joined with: the files of src/kernels/shared that its comments name. */

import attentionScalar from "../src/kernels/attention/attention_scalar.wgsl";
import attentionSequences from "../src/kernels/attention/attention_sequences.wgsl";
import attentionVec4 from "../src/kernels/attention/attention_vec4.wgsl";
import matmulScalar from "../src/kernels/matmul/matmul_scalar.wgsl";
import matmulStore from "../src/kernels/matmul/matmul_store.wgsl";
import matmulVec4 from "../src/kernels/matmul/matmul_vec4.wgsl";
import softmaxVec2 from "../src/kernels/rows/softmax_vec2.wgsl";
import softmaxVec4 from "../src/kernels/rows/softmax_vec4.wgsl";
import activation from "../src/kernels/shared/activation.wgsl";
import addProducts from "../src/kernels/shared/add_products.wgsl";
import normalizeRow from "../src/kernels/shared/normalize_row.wgsl";
import orderKey from "../src/kernels/shared/order_key.wgsl";
import orderKeys from "../src/kernels/shared/order_keys.wgsl";
import reduce from "../src/kernels/shared/reduce.wgsl";
import total from "../src/kernels/shared/total.wgsl";

/** By the names of the files, without `.wgsl`. */
export const SHARED: Readonly<Record<string, string>> = {
  activation,
  add_products: addProducts,
  attention_scalar: attentionScalar,
  attention_sequences: attentionSequences,
  attention_vec4: attentionVec4,
  matmul_scalar: matmulScalar,
  matmul_store: matmulStore,
  matmul_vec4: matmulVec4,
  normalize_row: normalizeRow,
  order_key: orderKey,
  order_keys: orderKeys,
  reduce,
  softmax_vec2: softmaxVec2,
  softmax_vec4: softmaxVec4,
  total,
};

/**
 * The text, and after it, so that its lines keep their numbers, each shared file that its comments name and whose first
 * function it lacks, with what that file's own comments name. Of `A.wgsl or B.wgsl` it is joined with the first.
 * @param name of the author's file
 * @throws RangeError where a comment names a shared file that there is not
 */
export function joinShared(name: string, text: string): string {
  const parts = [text];
  for (const part of parts) {
    for (const shared of namedIn(part)) {
      const source = Object.hasOwn(SHARED, shared) ? SHARED[shared]! : undefined;
      if (source === undefined) {
        throw new RangeError(`${name}: there is no shared/${shared}.wgsl; there are ${Object.keys(SHARED).join(", ")}`);
      }
      const [first] = /^fn \w+\(/m.exec(source)!;
      if (!parts.some((each) => each.includes(first))) parts.push(source); // the loop comes to it
    }
  }
  return parts.join("\n");
}

/** A list begins with `shared/` or with `joined with`; its other names may do without either. */
function namedIn(text: string): string[] {
  const comments = [...text.matchAll(/\/\/(.*)/g)].map(([, comment]) => comment!.trim()).join(" ");
  const chosen = comments.replaceAll(/\s(?:\([^)]*\)\s)?or\s+(?:shared\/)?\w+\.wgsl/g, "");
  const lists = chosen.matchAll(/(?:shared\/|joined with )\w+\.wgsl(?:(?:,|,? and)\s+(?:shared\/)?\w+\.wgsl)*/gi);
  return [...lists].flatMap(([list]) => [...list.matchAll(/(\w+)\.wgsl/g)].map(([, shared]) => shared!));
}
