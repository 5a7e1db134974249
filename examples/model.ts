/** The model that all examples begin with, as this site serves it. */

import { type Folder, httpFolder } from "bert-webgpu";

/** With the list of its files: others, which a folder may have, are not asked for. */
export function movieBert(): Folder {
  return httpFolder("/weights/movie-bert", {
    files: ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"],
  });
}
