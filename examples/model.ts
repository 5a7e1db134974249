/** The model that all examples begin with, as this site serves it. */

import { type Folder, httpFolder } from "bert-webgpu";

export const MOVIE_BERT = "/weights/movie-bert";
/** With this list, files that a model may have and this one has not are not asked for. */
export const MOVIE_BERT_FILES: readonly string[] = [
  "config.json",
  "model.safetensors",
  "tokenizer_config.json",
  "vocab.txt",
];

export function movieBert(): Folder {
  return httpFolder(MOVIE_BERT, { files: MOVIE_BERT_FILES });
}
