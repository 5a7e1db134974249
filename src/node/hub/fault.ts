/** What is wrong with a cache. */

/** The cache cannot serve: something is missing in it, damaged, or cannot be written. The message says what to do. */
export class HubCacheError extends Error {
  override readonly name: string = "HubCacheError";
}

/** What lies there is not what it must be: somebody has planted it. */
export class PlantedError extends HubCacheError {
  override readonly name: string = "PlantedError";
  constructor(path: string, what: string) {
    super(`${path}: it is ${what}; nothing in the cache is followed out of it: remove it, and see who may write there`);
  }
}
