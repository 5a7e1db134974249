/** Texts for tokenizer tests: curated ones, and as many seeded random ones as asked for. */

import { random as seeded } from "../../support.ts";

/** Numbers in [0, 1). */
export type Random = () => number;

export const SENTENCES: readonly string[] = [
  "The quick brown fox jumps over the lazy dog.",
  "an ambitious , moving , and often funny drama about friendship .",
  "It's n't clear whether they'd've gone; we'll see -- or won't we?!",
  "Café naïve résumé — the théâtre was superb! Ångström, Dvořák & Škoda",
  "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
  "Москва — столица России, Ёлка й Й; Київ: їжак",
  "Ὀδυσσεύς ΣΊΣΥΦΟΣ ᾳ ᾼ ΐ Ω ά",
  "北京是中华人民共和国的首都。東京タワー、ガギグ ﾊﾟｰﾃｨｰ",
  "서울특별시 대한민국 각 한글 〮〯",
  "หนังเรื่องนี้ดีมาก नमस्ते दुनिया தமிழ் বাংলা ਪੰਜਾਬੀ",
  "שָׁלוֹם עוֹלָם السَّلامُ عَلَيْكُم ١٢٣",
  "İstanbul IĞDIR ıspanak ẞ ß ŉ ǅ ﬁ ﬃ",
  "👨‍👩‍👧‍👦 family 🇫🇷 👎🏽 ❤️ 1️⃣ ☃",
  "e-mail: a.b+c@example.com, https://x.org/?q=1&r=%20#frag $5.00 ~10^2 `code` <tag/>",
  "line\nbreak\ttab\r\nreturn\vvertical\ffeed nbsp ideographic　space",
  "1,234.56 km² ½ ⅓ № ™ © ± × ÷ ∑ √ ∞ ≠ € £ ¥ ¢ ₽",
];

export const CURATED: readonly string[] = [
  ...SENTENCES,
  "",
  " ",
  "  \t\r\n ",
  "\0",
  "a\0b\u0001c\u007fd\u0085e\u00adf",
  "\ufeffBOM \ufffd \ufffe \uffff",
  "\ud800",
  "\udc00\ud800",
  "a\ud83db \ude00c",
  "[MASK]",
  "[CLS] the [SEP] film [PAD][UNK][MASK]",
  "[mask] [ MASK ] [[MASK]] [MASK [MASK]]MASK] the[MASK]film",
  "x".repeat(100),
  "x".repeat(101),
  "é".repeat(100),
  "e\u0301".repeat(100),
  "e\u0301".repeat(101),
  "😀".repeat(100),
  "😀".repeat(101),
  "a".repeat(5000),
  "\u0301",
  "\u0301\u0301a",
  "e\u0301\u0323\u0334",
  "e\u0301\u302e\u0323 é\u302f\u0301 \u302e\u0301",
  "\u1b44\u0301\u1b13 \u0301\u1b44",
  "\u{1d158}\u{1d165}\u{1d16e} \u{1d15e} \u0301\u{1d165}",
  "\u{1e900}\u{1e944}\u{1e94a} \u0301\u{1e944}",
  "\u09fe\u0301 \u0301\u09fe \u0e48\u0301\u09bc",
  "\u0f73\u0f75\u0f81 \u0344 \u0958 \u0929 \u212b \u2126",
  "\uf900\ufa0e\ufacf\ufad9 \u{2f800}\u{2fa1d}",
  "\u{2b820}\u{2b91f}\u{2b920} \u{20000}\u{2a6df}\u{2a6e0} \u{30000}",
  "\u3400\u4dbf\u4dc0\u4e00\u9fff\ua000",
  "\u180e\u200b\u200c\u200d\u200e\u2028\u2029\u202f\u205f\u2060\u3000\u1680",
  "\u037e\u0387\u1fef\u2000\u2001\u2329",
  "\u{11938}\u{16121}\u{105c9}\u{11383}",
  "ΑΣ ΑΣ. Σ ΣΑΣ",
  "ẛ̣ ṩ ḍ̇ q̣̇",
  "­soft­hyphen­",
  "#hashtag ##ing ## # the##film",
];

/** Where tokenizers go wrong: inclusive ranges of code points, each as likely as the next. */
const POOLS: readonly (readonly [first: number, last: number])[] = [
  [0x00, 0x20],
  [0x20, 0x2f],
  [0x3a, 0x40],
  [0x5b, 0x60],
  [0x7b, 0xbf],
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x61, 0x7a],
  [0x61, 0x7a],
  [0x61, 0x7a],
  [0xc0, 0x17f],
  [0x180, 0x24f],
  [0x300, 0x36f],
  [0x370, 0x3ff],
  [0x400, 0x52f],
  [0x590, 0x6ff],
  [0x700, 0x8ff],
  [0x900, 0xdff],
  [0xe00, 0xfff],
  [0x1000, 0x139f],
  [0x1700, 0x1aff],
  [0x1b00, 0x1cff],
  [0x1d00, 0x1fff],
  [0x2000, 0x206f],
  [0x2070, 0x2bff],
  [0x2e00, 0x2e7f],
  [0x3000, 0x30ff],
  [0x302a, 0x302f],
  [0x3130, 0x33ff],
  [0x4e00, 0x9fff],
  [0xa640, 0xabff],
  [0xac00, 0xd7ff],
  [0xd800, 0xdfff],
  [0xe000, 0xfaff],
  [0xfb00, 0xffff],
  [0x10000, 0x10fff],
  [0x11000, 0x11fff],
  [0x16100, 0x16fff],
  [0x1cf00, 0x1d2ff],
  [0x1e000, 0x1e9ff],
  [0x1f300, 0x1faff],
  [0x20000, 0x323af],
  [0xe0000, 0xe01ef],
  [0x0, 0x10ffff],
];

const SNIPPETS: readonly string[] = ["[MASK]", "[CLS]", "[SEP]", "[PAD", "UNK]", " ", "  ", "\n", "ing", "the ", "'s"];

/** A text of random characters: a few pools mixed, so that neighbours interact. */
export function randomText(random: Random): string {
  const pools = Array.from({ length: 1 + Math.floor(3 * random()) }, () => pick(random, POOLS));
  let text = "";
  for (let left = Math.floor(24 * random()); left > 0; left--) {
    const [first, last] = pick(random, pools);
    text += random() < 0.12 ? pick(random, SNIPPETS) : fromCodePoint(first + Math.floor(random() * (last - first + 1)));
  }
  return text;
}

/** A sentence with a few characters replaced, inserted, doubled, removed or swapped. */
export function mutate(random: Random, sentence: string): string {
  const chars = Array.from(sentence);
  for (let edits = 1 + Math.floor(6 * random()); edits > 0 && chars.length > 0; edits--) {
    const at = Math.floor(random() * chars.length);
    const [first, last] = pick(random, POOLS);
    const char = fromCodePoint(first + Math.floor(random() * (last - first + 1)));
    const kind = Math.floor(6 * random());
    if (kind === 0) chars.splice(at, 1);
    else if (kind === 1) chars[at] = char;
    else if (kind === 2) chars.splice(at, 0, char);
    else if (kind === 3) chars.splice(at, 0, chars[at]!.toUpperCase(), "\u0301");
    else if (kind === 4) chars.splice(at, 0, pick(random, SNIPPETS));
    else chars.splice(at, 1, ...chars[at]!.normalize(random() < 0.5 ? "NFD" : "NFC"));
  }
  return chars.join("");
}

/** The curated texts, then `count` random ones, half of them mutated from `sentences`. */
export function corpus(count: number, seed: number, sentences: readonly string[] = SENTENCES): string[] {
  const random = seeded(seed);
  const texts = [...CURATED];
  for (let i = 0; i < count; i++) {
    texts.push(i % 2 === 0 ? randomText(random) : mutate(random, pick(random, sentences)));
  }
  return texts;
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!;
}

/** Surrogates come out alone, as JavaScript allows. */
function fromCodePoint(code: number): string {
  return code < 0x10000 ? String.fromCharCode(code) : String.fromCodePoint(code);
}
