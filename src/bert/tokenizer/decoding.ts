/** From ids back to text. Mirrors tokenizers/src/decoders/wordpiece.rs and transformers' clean_up_tokenization. */

export interface DecoderOptions {
  /** What marks a piece inside a word: `##`. */
  readonly prefix: string;
  /** Close the gaps before punctuation, token by token. */
  readonly cleanup: boolean;
}

/** Joins tokens: a piece inside a word to the one before, every other after a space. */
export function joinTokens(tokens: readonly string[], { prefix, cleanup }: DecoderOptions): string {
  return tokens
    .map((token, i) => {
      const joined = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      return cleanup ? cleanUp(joined).replaceAll(" do not", " don't") : joined;
    })
    .join("");
}

/** Closes the gaps that cutting English at punctuation has left, over a whole text: `do n't .` becomes `don't.` */
export function cleanUp(text: string): string {
  return text
    .replaceAll(" .", ".")
    .replaceAll(" ?", "?")
    .replaceAll(" !", "!")
    .replaceAll(" ,", ",")
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}
