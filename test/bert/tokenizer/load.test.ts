/** Reading model folders: every way a tokenizer is stored, and every way a hostile folder is refused. */

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

describe("vocab.txt", () => {
  it("alone is an uncased BERT", async () => {
    const tokenizer = await load({ "vocab.txt": VOCAB });
    expect(tokenizer.encode("The CAFÉ films 中文[MASK]", "the").tokens.join(" ")).toBe(
      "[CLS] the cafe film ##s 中 文 [MASK] [SEP] the [SEP]",
    );
    expect(tokenizer.vocabSize).toBe(TOKENS.length);
    expect(tokenizer.modelMaxLength).toBeUndefined();
    expect(tokenizer.special).toEqual({ unk: 1, cls: 2, sep: 3, pad: 0, mask: 4 });
  });

  it("may have Windows lines, a byte order mark, a final line, a double", async () => {
    const tokenizer = await load({ "vocab.txt": `\ufeff${TOKENS.join("\r\n")}\r\nthe\r\n` });
    expect(tokenizer.tokenToId("[PAD]")).toBe(0);
    expect(tokenizer.tokenToId("the")).toBe(TOKENS.length); // the later one, as transformers
    expect(tokenizer.encode("the").ids).toEqual([2, TOKENS.length, 3]);
  });

  it("goes by tokenizer_config.json", async () => {
    const config = {
      do_lower_case: false,
      strip_accents: false,
      tokenize_chinese_chars: false,
      model_max_length: 512,
      unk_token: { content: "<unk>" },
      tokenizer_class: "BertTokenizerFast",
      clean_up_tokenization_spaces: true,
    };
    const tokenizer = await load({
      "vocab.txt": VOCAB.replace("[UNK]", "<unk>"),
      "tokenizer_config.json": JSON.stringify(config),
    });
    expect(plain(tokenizer, "The café films 中文 CAFE")).toBe("The café film ##s <unk> <unk>");
    expect(tokenizer.modelMaxLength).toBe(512);
    expect(tokenizer.decode([5, 6])).toBe("the film");
  });

  it("takes added tokens from added_tokens.json, or from tokenizer_config.json", async () => {
    const first = TOKENS.length;
    const files = {
      "vocab.txt": VOCAB,
      "added_tokens.json": JSON.stringify({ "<e1>": first + 1, Berlin: first }),
      "tokenizer_config.json": JSON.stringify({ additional_special_tokens: ["<e1>"] }),
    };
    const tokenizer = await load(files);
    const { ids, offsets } = tokenizer.encode("the BERLIN<e1>", undefined, { addSpecialTokens: false });
    expect(ids).toEqual([5, first, first + 1]);
    expect(offsets.at(-1)).toEqual([10, 14]);
    expect(tokenizer.vocabSize).toBe(first + 2);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe("the berlin");

    const added_tokens_decoder = { [first]: { content: "<e2>", special: true, lstrip: true } };
    const other = await load({ ...files, "tokenizer_config.json": JSON.stringify({ added_tokens_decoder }) });
    const encoding = other.encode("the berlin <e2>", undefined, { addSpecialTokens: false });
    expect(encoding.ids).toEqual([5, 1, first]);
    expect(encoding.offsets.at(-1)).toEqual([10, 15]);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ["an empty file", { "vocab.txt": "" }, /vocab.txt: no tokens/],
    ["no [UNK]", { "vocab.txt": "[CLS]\n[SEP]" }, /vocab.txt: the unknown token "\[UNK\]" is not in the vocabulary/],
    ["no [SEP]", { "vocab.txt": "[UNK]\n[CLS]" }, /vocab.txt: "\[SEP\]" is not in the vocabulary/],
    [
      "another tokenizer's vocabulary",
      { "vocab.txt": VOCAB, "tokenizer_config.json": '{"tokenizer_class":"BertJapaneseTokenizer"}' },
      /tokenizer_class "BertJapaneseTokenizer"/,
    ],
    [
      "an absurd id",
      { "vocab.txt": VOCAB, "added_tokens.json": '{"x":2147483647}' },
      /id of "x" is 2147483647; expected a whole number from 0/,
    ],
  ])("is refused with %s", async (_, files, message) => {
    await expect(load(files)).rejects.toThrow(message);
  });
});

describe("tokenizer.json", () => {
  it("wins over vocab.txt, and its truncation and padding are left alone", async () => {
    const json = JSON.parse(JSON_TEXT) as Record<string, unknown>;
    json.truncation = { max_length: 3, strategy: "LongestFirst", stride: 0, direction: "Right" };
    json.padding = { strategy: { Fixed: 9 }, direction: "Right", pad_id: 0, pad_type_id: 0, pad_token: "[PAD]" };
    const tokenizer = await load({ "tokenizer.json": JSON.stringify(json), "vocab.txt": "nonsense" });
    expect(tokenizer.encode("the the films").tokens).toEqual(["[CLS]", "the", "the", "film", "##s", "[SEP]"]);
  });

  it("yields to what tokenizer_config.json says outright", async () => {
    const config = '{"do_lower_case":false,"model_max_length":1000000000000000019884624838656}';
    const tokenizer = await load({ "tokenizer.json": JSON_TEXT, "tokenizer_config.json": config });
    expect(plain(tokenizer, "The café THE")).toBe("The café [UNK]");
    expect(tokenizer.modelMaxLength).toBeUndefined();
    const stripping = JSON.stringify({ do_lower_case: false, strip_accents: true });
    expect(plain(await load({ "tokenizer.json": JSON_TEXT, "tokenizer_config.json": stripping }), "The café")).toBe(
      "The cafe",
    );
  });

  it("may leave out what has a default", async () => {
    const json = {
      model: { continuing_subword_prefix: "##", vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])) },
      pre_tokenizer: { type: "BertPreTokenizer" },
    };
    const tokenizer = await load({ "tokenizer.json": JSON.stringify(json) });
    expect(tokenizer.encode("The films", "the").tokens).toEqual(["The", "film", "##s", "the"]);
    expect(tokenizer.encode("the", "the").typeIds).toEqual([0, 1]);
  });

  it("may have names that JavaScript's objects have", async () => {
    const vocabulary = [...TOKENS, "__proto__", "constructor", "toString"];
    const json = tokenizerJson({ vocabulary, normalizer: { lowercase: false } }).replace(
      '"constructor"',
      `"__proto__":${TOKENS.length},"constructor"`,
    );
    const tokenizer = await load({ "tokenizer.json": json });
    expect(plain(tokenizer, "constructor toString valueOf")).toBe("constructor toString [UNK]");
    expect(tokenizer.tokenToId("__proto__")).toBe(TOKENS.length);
  });

  const template = (single: unknown, special: unknown = {}): unknown => ({
    type: "TemplateProcessing",
    single,
    pair: single,
    special_tokens: special,
  });
  it.each<[string, string, RegExp]>([
    ["that is not JSON", "{", /memory\/tokenizer.json: not valid JSON/],
    ["that is an array", "[]", /memory\/tokenizer.json: is \[\]; expected an object/],
    [
      "of another model",
      changed("model.type", "BPE"),
      /tokenizer.json: model.type is "BPE"; expected WordPiece: only BERT's WordPiece/,
    ],
    [
      "with another normaliser",
      changed("normalizer.type", "Precompiled"),
      /normalizer.type is "Precompiled"; expected BertNormalizer or Lowercase or NFC or /,
    ],
    [
      "with another one in a sequence",
      changed("normalizer", { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "Nmt" }] }),
      /normalizer.normalizers\[1\].type is "Nmt"; expected BertNormalizer or /,
    ],
    [
      "with another pre-tokeniser",
      changed("pre_tokenizer.type", "ByteLevel"),
      /pre_tokenizer.type is "ByteLevel"; expected BertPreTokenizer or Punctuation or Sequence or Whitespace or /,
    ],
    [
      "with punctuation that behaves in another way",
      changed("pre_tokenizer", { type: "Punctuation", behavior: "constructor" }),
      /pre_tokenizer.behavior is "constructor"; expected Isolated or Removed or /,
    ],
    [
      "with another post-processor",
      changed("post_processor.type", "RobertaProcessing"),
      /"RobertaProcessing"; expected TemplateProcessing or BertProcessing or Sequence/,
    ],
    ["with another decoder", changed("decoder.type", "BPEDecoder"), /decoder.type is "BPEDecoder"/],
    ["without a vocabulary", changed("model.vocab", {}), /no tokens/],
    ["with a list for a vocabulary", changed("model.vocab", ["a"]), /model.vocab is \["a"\]; expected an object/],
    ["with an id that is text", changed("model.vocab", { a: "0" }), /the id of "a" is "0"; expected a whole number/],
    [
      "with an id that is no text either",
      changed("model.vocab", { a: { toString: 1 } }),
      /the id of "a" is \{"toString":1\};/,
    ],
    ["with a negative id", changed("model.vocab", { a: -1 }), /the id of "a" is -1/],
    [
      "with an absurd id",
      changed("model.vocab", { a: 4e9 }),
      /the id of "a" is 4000000000; expected a whole number from 0 to/,
    ],
    ["with an id given twice", changed("model.vocab", { a: 1, b: 1 }), /"a" and "b" share the id 1/],
    [
      "without its unknown token",
      changed("model.unk_token", "<unk>"),
      /the unknown token "<unk>" is not in the vocabulary/,
    ],
    [
      "with an absurd limit on words",
      changed("model.max_input_chars_per_word", -5),
      /max_input_chars_per_word is -5; expected a whole number from 1/,
    ],
    [
      "with a flag that is text",
      changed("normalizer.lowercase", "yes"),
      /normalizer.lowercase is "yes"; expected true or false/,
    ],
    [
      "with an empty added token",
      changed("added_tokens", [{ id: 13, content: "" }]),
      /added token 13 has 0 characters/,
    ],
    [
      "with an endless added token",
      changed("added_tokens", [{ id: 13, content: "x".repeat(2000) }]),
      /added token 13 has 2000 characters/,
    ],
    [
      "with an added token without id",
      changed("added_tokens", [{ content: "x" }]),
      /added_tokens\[0\].id is undefined/,
    ],
    [
      "with too many added tokens",
      changed(
        "added_tokens",
        Array.from({ length: 10_001 }, (_, i) => ({ id: i, content: `<${i}>` })),
      ),
      /10001 added tokens, at most 10000/,
    ],
    [
      "with a [CLS] outside the vocabulary",
      changed("post_processor.cls", ["[CLS]", 999]),
      /post_processor.cls is \["\[CLS\]",999\]; expected a token and its id/,
    ],
    [
      "with a template without text",
      changed("post_processor", template([])),
      /post_processor.single is \[\]; expected one A and no B/,
    ],
    [
      "with a template of an unknown text",
      changed("post_processor", template([{ Sequence: { id: "C", type_id: 0 } }])),
      /Sequence.id is "C"; expected A or B/,
    ],
    [
      "with a template of an unknown token",
      changed("post_processor", template([{ SpecialToken: { id: "[X]", type_id: 0 } }])),
      /special_tokens.\[X\] is undefined; expected an object/,
    ],
    [
      "with a template of an unknown id",
      changed(
        "post_processor",
        template([{ SpecialToken: { id: "x", type_id: 0 } }], { x: { ids: [99], tokens: ["x"] } }),
      ),
      /special_tokens.x.ids is \[99\]; expected ids of the vocabulary/,
    ],
  ])("is refused %s", async (_, json, message) => {
    await expect(load({ "tokenizer.json": json })).rejects.toThrow(message);
  });
});

describe("tokenizer_config.json", () => {
  it.each([0, -1, 1.5, "512", []])("is refused with model_max_length %j", async (model_max_length) => {
    const files = { "vocab.txt": VOCAB, "tokenizer_config.json": JSON.stringify({ model_max_length }) };
    await expect(load(files)).rejects.toThrow(
      /memory\/tokenizer_config.json: model_max_length is .*; expected a whole number from 1/,
    );
  });

  it.each([
    [{ added_tokens_decoder: { x: { content: "a" } } }, /added_tokens_decoder: the key is "x"; expected an id/],
    [{ mask_token: 7 }, /mask_token is 7; expected an object/],
    [{ do_lower_case: "true" }, /do_lower_case is "true"; expected true or false/],
  ])("is refused: %j", async (config, message) => {
    await expect(load({ "vocab.txt": VOCAB, "tokenizer_config.json": JSON.stringify(config) })).rejects.toThrow(
      message,
    );
  });
});

describe("a hostile folder costs neither time nor memory", () => {
  const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
  const long = (piece: string): Record<string, unknown> => ({
    type: "WordPiece",
    max_input_chars_per_word: 0x7fffffff,
    vocab: Object.fromEntries([...TOKENS, piece].map((token, id) => [token, id])),
  });
  const specials = {
    single: [{ SpecialToken: { id: "x", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    special_tokens: { x: { ids: Array(101).fill(4), tokens: Array(101).fill("[MASK]") } },
  };

  it.each<[string, Record<string, string>, RegExp]>([
    ["lines", { "vocab.txt": "\n".repeat(700_000) }, /vocab.txt: at most 600000 tokens are read/],
    [
      "empty objects",
      { "tokenizer.json": changed("added_tokens", 0).replace(/0(?=[,}])/, `[${"{},".repeat(750_000)}{}]`) },
      /tokenizer.json: not valid JSON: more than 750000 values/,
    ],
    [
      "numbers",
      { "vocab.txt": VOCAB, "tokenizer_config.json": `{"x":[${"0,".repeat(750_000)}0]}` },
      /tokenizer_config.json: not valid JSON: more than 750000 values/,
    ],
    [
      "depth",
      { "vocab.txt": VOCAB, "tokenizer_config.json": `{"mask_token":${deep}}` },
      /tokenizer_config.json: not valid JSON: nested deeper than 127/,
    ],
    ["characters", { "vocab.txt": `${VOCAB}\n${"x".repeat(5_000_000)}` }, /characters in all, at most 5000000/],
    [
      "an added token",
      { "tokenizer.json": changed("added_tokens", [{ id: 99, content: "x".repeat(201) }]) },
      /added token 99 has 201 characters; expected 1 to 200/,
    ],
    [
      "words and a piece without end",
      { "tokenizer.json": changed("model", long(`##${"s".repeat(127)}`)) },
      /max_input_chars_per_word is 2147483647; expected a whole number from 1 to 128/,
    ],
    [
      "special tokens",
      { "tokenizer.json": changed("post_processor", { type: "TemplateProcessing", ...specials }) },
      /special_tokens.x.ids is .*; expected at most 100/,
    ],
  ])("of %s", async (_, files, message) => {
    const begin = performance.now();
    await expect(load(files)).rejects.toThrow(message);
    expect(performance.now() - begin).toBeLessThan(2000);
  });

  const pattern = (Regex: string): string =>
    changed("normalizer", { type: "Replace", pattern: { Regex }, content: "" });
  it.each([["(a+)+$"], ["a*"], ["a|b"], ["[^a]"], ["a{0,}"], ["\\w+"], ["ab+"], [".+"], ["[a-z]"]])(
    "refuses the regular expression %s",
    async (regex) => {
      await expect(load({ "tokenizer.json": pattern(regex) })).rejects.toThrow(
        /normalizer.pattern.Regex is ".*"; expected one character or class, alone or repeated/,
      );
    },
  );

  it("refuses steps without end, and what may not be empty or long", async () => {
    const many = { type: "Sequence", normalizers: Array(33).fill({ type: "NFC" }) };
    const cuts = { type: "Sequence", pretokenizers: Array(11).fill({ type: "Whitespace" }) };
    const replace = (from: string, content: string): unknown => ({
      type: "Replace",
      pattern: { String: from },
      content,
    });
    for (const [path, value, message] of [
      ["normalizer", many, /normalizer: the number of steps is 33; expected at most 32/],
      ["pre_tokenizer", cuts, /pre_tokenizer: the number of parts is 11; expected at most 10/],
      ["normalizer", replace("", "a"), /normalizer.pattern.String is ""; expected some characters/],
      ["normalizer", replace("a", "b".repeat(201)), /normalizer.content is ".*; expected at most 200 characters/s],
      ["normalizer", { type: "Prepend", prepend: "b".repeat(201) }, /normalizer.prepend is ".*; expected at most 200/s],
    ] as const) {
      await expect(load({ "tokenizer.json": changed(path, value) })).rejects.toThrow(message);
    }
  });

  it("a normaliser that doubles a text and doubles it ends in an error", async () => {
    const double = { type: "Replace", pattern: { String: "a" }, content: "aa" };
    const json = changed("normalizer", { type: "Sequence", normalizers: Array(30).fill(double) });
    const tokenizer = await load({ "tokenizer.json": json });
    const begin = performance.now();
    expect(() => tokenizer.encode("a".repeat(10_000))).toThrow(
      "the tokenizer's normalizer makes more than 160100 characters of a text",
    );
    expect(performance.now() - begin).toBeLessThan(10_000);
  });

  it("refuses added tokens that a normaliser makes long", async () => {
    const added = Array.from({ length: 10_000 }, (_, i) => ({ id: 13 + i, content: `${"a".repeat(190)}${i}` }));
    const normalizer = { type: "Replace", pattern: { String: "a" }, content: "b".repeat(16) };
    const json = JSON.parse(changed("normalizer", normalizer)) as Record<string, unknown>;
    const begin = performance.now();
    await expect(load({ "tokenizer.json": JSON.stringify({ ...json, added_tokens: added }) })).rejects.toThrow(
      "added tokens: more than 2000000 characters once normalized",
    );
    expect(performance.now() - begin).toBeLessThan(10_000);
  });

  it.each(["NFC", "NFKC", "Strip", "Replace"])("takes time in the length of a text, with %s", async (type) => {
    const replace = { pattern: { Regex: "\\s+" }, content: " ", strip_left: true, strip_right: true };
    const tokenizer = await load({ "tokenizer.json": changed("normalizer", { type, ...replace }) });
    for (const unit of ["\u302e\u0301", "\u0301", " ", "a", "a\u0301 "]) {
      const begin = performance.now();
      tokenizer.encode(`${unit.repeat(200_000 / unit.length)}x`);
      expect(performance.now() - begin).toBeLessThan(10_000);
    }
  });

  it("counts no comma and no bracket within a token", async () => {
    const tokens = [...TOKENS, ...Array.from({ length: 2000 }, (_, i) => `${"[{,".repeat(300)}\\"${i}`)];
    const tokenizer = await load({ "tokenizer.json": tokenizerJson({ vocabulary: tokens }) });
    expect(tokenizer.vocabSize).toBe(tokens.length);
  });

  it("takes words of any length where no piece is long", async () => {
    const tokenizer = await load({ "tokenizer.json": changed("model", long("##x")) });
    expect(tokenizer.encode(`film${"s".repeat(5000)}`).ids).toHaveLength(5003);
  });

  it("finds no token within white space that one has taken, in time that grows with it", async () => {
    const added = [
      { id: 13, content: " ", special: true, rstrip: true },
      { id: 14, content: " film", special: true, lstrip: true },
    ];
    const tokenizer = await load({ "tokenizer.json": changed("added_tokens", added) });
    const begin = performance.now();
    const spaces = 200_000;
    const { ids, offsets } = tokenizer.encode(`the${" ".repeat(spaces)}film`, undefined, { addSpecialTokens: false });
    expect(performance.now() - begin).toBeLessThan(2000);
    expect(ids).toEqual([5, 13, 14]);
    expect(offsets).toEqual([
      [0, 3],
      [3, 3 + spaces],
      [2 + spaces, 7 + spaces], // its own content, white space or not
    ]);
    const near = [{ id: 13, content: "<a>", special: true, rstrip: true }, added[1]];
    const other = await load({ "tokenizer.json": changed("added_tokens", near) });
    const encoding = other.encode("<a>  film", undefined, { addSpecialTokens: false });
    expect(encoding.ids).toEqual([13, 14]);
    expect(encoding.offsets).toEqual([
      [0, 5],
      [4, 9],
    ]);
  });

  it("tells no more of a value, or of a name, than a line", async () => {
    const name = "x".repeat(1_000_000);
    const files = { "vocab.txt": VOCAB, "added_tokens.json": JSON.stringify({ [name]: name }) };
    const error = (await load(files).catch((error: unknown) => error)) as Error;
    expect(error.message.length).toBeLessThan(2100);
  });
});

describe("split_special_tokens", () => {
  // ids as transformers 5.18 gives them with tokenizers 0.23.2
  const tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] [ ] mask ##s cls sep x y ##y film new token <kept> kept < > ask m";
  const added = [...tokens.split(" ").slice(0, 5).entries(), [16, "<kept>"], [22, "[new]"], [23, "mask"]] as const;
  const decoder = Object.fromEntries(
    added.map(([id, content]) => [id, { content, special: content.startsWith("["), normalized: false }]),
  );
  const loadWith = (split_special_tokens: unknown): Promise<Tokenizer> =>
    load({
      "vocab.txt": tokens.replaceAll(" ", "\n"),
      "tokenizer_config.json": JSON.stringify({
        ...{ tokenizer_class: "BertTokenizer", split_special_tokens, added_tokens_decoder: decoder },
        extra_special_tokens: ["[new]"],
      }),
    });

  it.each<[string, number[], number[]]>([
    ["a [MASK] film", [2, 1, 5, 7, 6, 14, 3], [2, 1, 4, 14, 3]],
    ["[CLS] x <kept> y[new]z", [2, 5, 9, 6, 11, 17, 12, 5, 15, 6, 1, 3], [2, 2, 11, 17, 12, 23, 1, 3]],
    ["[MASK]mask <kept>", [2, 5, 7, 6, 7, 17, 3], [2, 4, 7, 17, 3]],
    ["x [SEP] y", [2, 11, 5, 10, 6, 12, 3], [2, 11, 3, 12, 3]],
  ])("%s: special tokens in a text are words, other added tokens are not", async (text, split, whole) => {
    expect((await loadWith(true)).encode(text).ids).toEqual(split);
    expect((await loadWith(false)).encode(text).ids).toEqual(whole);
    await expect(loadWith("yes")).rejects.toThrow(/split_special_tokens is "yes"; expected true or false/);
  });
});

it("refuses a folder without a vocabulary", async () => {
  await expect(load({ "config.json": "{}" })).rejects.toThrow(/memory has neither tokenizer.json nor vocab.txt/);
});
