/** Promises remembered by a key, the latest of them. */

/** What `make` gives for the key, or has given; `most` are kept, and none that rejects. */
export function latest<K, V>(kept: Map<K, Promise<V>>, key: K, make: () => Promise<V>, most: number): Promise<V> {
  const found = kept.get(key) ?? make();
  kept.delete(key);
  kept.set(key, found); // now the most recent
  found.catch(() => kept.delete(key));
  for (const oldest of kept.keys()) if (kept.size > most) kept.delete(oldest);
  return found;
}
