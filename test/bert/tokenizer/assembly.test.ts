/** A folder's files put together: the right values are what transformers 5.18 gives for the same files. */

import { describe, expect, it } from "vitest";
import { loadTokenizer } from "../../../src/bert/tokenizer/load.ts";
import type { Tokenizer } from "../../../src/bert/tokenizer/tokenizer.ts";
import { memoryFolder } from "../../files/build.ts";
import { tokenizerJson } from "./oracle.ts";

const TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "##s", "cafe", "café", "The", "中", "文"];
const VOCAB = TOKENS.join("\n");
const JSON_TEXT = tokenizerJson({ vocabulary: TOKENS });

function load(files: Record<string, string>): Promise<Tokenizer> {
  return loadTokenizer(memoryFolder(files));
}

/** tokenizer.json with `path` set to `value`. */
function changed(path: string, value: unknown): string {
  const root = JSON.parse(JSON_TEXT) as Record<string, unknown>;
  const names = path.split(".");
  let at = root;
  for (const name of names.slice(0, -1)) at = at[name] as Record<string, unknown>;
  at[names.at(-1)!] = value;
  return JSON.stringify(root);
}

const plain = (tokenizer: Tokenizer, text: string): string =>
  tokenizer.encode(text, undefined, { addSpecialTokens: false }).tokens.join(" ");

describe("the files of a folder, put together", () => {
  const cased = changed("normalizer.lowercase", false);
  const config = (values: Record<string, unknown>): string => JSON.stringify(values);
  const generic = "PreTrainedTokenizerFast";

  it.each<[string, Record<string, string>, string, string]>([
    ["no class is BertTokenizer, which lowers", { "tokenizer_config.json": "{}" }, "The café", "the cafe"],
    ["nor one in config.json", { "config.json": "{}" }, "The café", "the cafe"],
    [
      "BertTokenizer",
      { "tokenizer_config.json": config({ tokenizer_class: "BertTokenizer" }) },
      "The café",
      "the cafe",
    ],
    ["neither file", {}, "The café", "The café"],
    [
      "ConvBertTokenizer, which adds nothing to BertTokenizer",
      { "tokenizer_config.json": config({ tokenizer_class: "ConvBertTokenizer", do_lower_case: true }) },
      "The café",
      "The café",
    ],
    [
      "RetriBertTokenizer, which transformers 5 does not have",
      { "tokenizer_config.json": config({ tokenizer_class: "RetriBertTokenizer", do_lower_case: true }) },
      "The café",
      "The café",
    ],
    [
      "do_lower_case is BertTokenizer's",
      { "tokenizer_config.json": config({ tokenizer_class: generic, do_lower_case: true }) },
      "The café",
      "The café",
    ],
    ["the class in config.json", { "config.json": config({ tokenizer_class: generic }) }, "The café", "The café"],
    [
      "an unknown class",
      { "tokenizer_config.json": config({ tokenizer_class: "MyTokenizer", do_lower_case: true }) },
      "The café",
      "The café",
    ],
  ])("the class says which keys count: %s", async (_, files, text, tokens) => {
    expect(plain(await load({ "tokenizer.json": cased, ...files }), text)).toBe(tokens);
  });

  it("BertTokenizer builds itself, whatever tokenizer.json is made of", async () => {
    const json = JSON.parse(changed("pre_tokenizer", { type: "ByteLevel" })) as Record<string, unknown>;
    const other = { ...json, normalizer: { type: "Nmt" }, post_processor: null, decoder: { type: "Fuse" } };
    const tokenizer = await load({ "tokenizer.json": JSON.stringify(other), "tokenizer_config.json": "{}" });
    expect(tokenizer.encode("The CAFÉ films").tokens.join(" ")).toBe("[CLS] the cafe film ##s [SEP]");
  });

  const without = changed("added_tokens", []);
  const MASK = [2, 5, 4, 3];
  it.each<[string, Record<string, string>, readonly number[]]>([
    ["by default, of BertTokenizer", { "tokenizer_config.json": "{}" }, MASK],
    ["not of another", { "tokenizer_config.json": config({ tokenizer_class: generic }) }, [2, 5, 1, 1, 1, 3]],
    [
      "by tokenizer_config.json",
      { "tokenizer_config.json": config({ tokenizer_class: generic, mask_token: "[MASK]" }) },
      MASK,
    ],
    [
      "by special_tokens_map.json",
      {
        "tokenizer_config.json": config({ tokenizer_class: generic }),
        "special_tokens_map.json": config({ mask_token: { content: "[MASK]", lstrip: false } }),
      },
      MASK,
    ],
    [
      "by an extra list",
      { "tokenizer_config.json": config({ tokenizer_class: generic, extra_special_tokens: ["[MASK]"] }) },
      MASK,
    ],
    [
      "by a key of the model's own",
      { "tokenizer_config.json": config({ tokenizer_class: generic, gap_token: "[MASK]" }) },
      MASK,
    ],
    [
      "by a named list",
      { "tokenizer_config.json": config({ tokenizer_class: generic, extra_special_tokens: { gap: "[MASK]" } }) },
      MASK,
    ],
    [
      "by added_tokens_decoder",
      {
        "tokenizer_config.json": config({
          tokenizer_class: generic,
          added_tokens_decoder: { 4: { content: "[MASK]" } },
        }),
      },
      MASK,
    ],
    [
      "by added_tokens.json",
      { "tokenizer_config.json": config({ tokenizer_class: generic }), "added_tokens.json": config({ "[MASK]": 4 }) },
      MASK,
    ],
    ["not where there is none", { "tokenizer_config.json": config({ mask_token: null }) }, [2, 5, 1, 1, 1, 3]],
  ])("a special token is found, named %s", async (_, files, ids) => {
    expect((await load({ "tokenizer.json": without, ...files })).encode("the [MASK]").ids).toEqual(ids);
  });

  it("special_tokens_map.json wins, but is a leftover beside added_tokens_decoder", async () => {
    const files = {
      "vocab.txt": `${VOCAB}\n<mask>`,
      "special_tokens_map.json": config({ mask_token: "<mask>" }),
      "tokenizer_config.json": config({ mask_token: "[MASK]" }),
    };
    const tokenizer = await load(files);
    expect(tokenizer.special.mask).toBe(13);
    expect(tokenizer.encode("the <mask>").ids).toEqual([2, 5, 13, 3]);
    const decoder = config({ mask_token: "[MASK]", added_tokens_decoder: {} });
    expect((await load({ ...files, "tokenizer_config.json": decoder })).special.mask).toBe(4);
  });

  it("special tokens may have other names", async () => {
    const names = { unk_token: "<unk>", cls_token: "<s>", sep_token: "</s>", pad_token: "<pad>", mask_token: "<mask>" };
    const tokens = [...["<pad>", "<unk>", "<s>", "</s>", "<mask>"], ...TOKENS.slice(5)].join("\n");
    const tokenizer = await load({ "vocab.txt": tokens, "special_tokens_map.json": config(names) });
    expect(tokenizer.encode("the <mask> x", "films").tokens.join(" ")).toBe("<s> the <mask> <unk> </s> film ##s </s>");
    expect(tokenizer.special).toEqual({ unk: 1, cls: 2, sep: 3, pad: 0, mask: 4 });
  });

  it("a special token that no file lists comes after all others, and is not counted", async () => {
    const tokenizer = await load({
      "vocab.txt": VOCAB.replace("[MASK]", "mask"),
      "tokenizer_config.json": config({ additional_special_tokens: ["<e>"] }),
    });
    expect(tokenizer.vocabSize).toBe(TOKENS.length);
    expect(tokenizer.encode("the [MASK] <e>").ids).toEqual([2, 5, 13, 14, 3]);
  });

  it("the vocabulary's ids win over those of added tokens, which only give an order", async () => {
    const added_tokens_decoder = {
      90: { content: "<b>", special: true },
      50: { content: "<a>", special: true },
      60: { content: "film", special: true },
      5: { content: "<c>", special: true },
    };
    const tokenizer = await load({
      "tokenizer.json": without,
      "tokenizer_config.json": config({ added_tokens_decoder }),
    });
    expect(tokenizer.encode("the <a> film <b> <c>").ids).toEqual([2, 5, 14, 6, 15, 13, 3]);
  });

  it("the last of two added tokens of one name counts", async () => {
    const added = [
      { content: "<a>", special: true },
      { content: "<a>", special: true, lstrip: true },
    ];
    const tokenizer = await load({
      "tokenizer.json": changed(
        "added_tokens",
        added.map((token, i) => ({ id: 13 + i, ...token })),
      ),
    });
    expect(tokenizer.encode("the <a>", undefined, { addSpecialTokens: false }).offsets).toEqual([
      [0, 3],
      [3, 7],
    ]);
  });

  it("where holes in the ids let a piece and an added token meet, each is told by its name", async () => {
    const vocab = { "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, the: 4, film: 9 };
    const added = [
      { id: 7, content: "<a>", special: true },
      { id: 8, content: "<b>", special: true },
    ];
    const json = JSON.parse(changed("model.vocab", vocab)) as Record<string, unknown>;
    const tokenizer = await load({
      "tokenizer.json": JSON.stringify({ ...json, post_processor: null, added_tokens: added }),
    });
    const { ids, tokens } = tokenizer.encode("the <a> <b> film");
    expect(ids).toEqual([4, 5, 6, 9]);
    expect(tokens).toEqual(["the", "<a>", "<b>", "film"]);
  });

  it("white space at the end of a line of vocab.txt is none of the token", async () => {
    const tokenizer = await load({ "vocab.txt": VOCAB.replace("film", "film \t\u3000").replace("cafe", "cafe\r") });
    expect(plain(tokenizer, "films café")).toBe("film ##s cafe");
  });
});
