/**
 * A source read ahead of its reader: while the GPU computes one batch the next is prepared, and no further, so that
 * memory stays bounded. Nothing that has arrived waits for what has not: with the GPU idle, a part of a batch is given.
 */

/** What is taken at once. */
export interface Portion<Item> {
  readonly items: readonly Item[];
  /** Nothing more fitted; else the source had no more to give, for now or at all. */
  readonly full: boolean;
  /** There are none, and there will be no more. */
  readonly ended: boolean;
  /** What ended it, if not the source itself. */
  readonly failure?: { readonly error: unknown };
}

export interface ReadAheadOptions<Item> {
  readonly weigh: (item: Item) => number;
  /** Whether so many items, of that weight together, go in one portion. A single one always does. */
  readonly fits: (weight: number, count: number) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Reads from its making to `close`, to the end of the source or to an error. */
export class ReadAhead<Input, Item> {
  readonly #iterator: AsyncIterator<Input> | Iterator<Input>;
  readonly #options: ReadAheadOptions<Item>;
  #ready: Item[] = [];
  #readyWeight = 0;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #wakeTaker: () => void = () => {};
  #wakeReader: () => void = () => {};
  readonly #onAbort = (): void => this.#wakeTaker();

  /** @param prepare what an input becomes; called in order, as soon as the input has come */
  constructor(
    inputs: AsyncIterable<Input> | Iterable<Input>,
    prepare: (input: Input) => readonly Item[],
    options: ReadAheadOptions<Item>,
  ) {
    this.#options = options;
    this.#iterator = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
    options.signal?.addEventListener("abort", this.#onAbort);
    void this.#read(prepare);
  }

  /**
   * What is ready, as far as it fits. Waits for a full portion while `busy` is pending, and not after, so that whoever
   * was busy can go on with what it has: there may be nothing. Without `busy` it waits for one item.
   * @throws the signal's reason
   */
  async take(busy: Promise<unknown> | undefined): Promise<Portion<Item>> {
    let patient = true;
    let leaving = busy !== undefined;
    // one turn of the event loop more, in which what has already arrived comes through
    const leaveSoon = (): void => {
      leaving = true;
      setTimeout(() => {
        patient = false;
        this.#wakeTaker();
      });
    };
    void busy?.then(leaveSoon, leaveSoon);
    for (;;) {
      this.#options.signal?.throwIfAborted();
      if (this.#overflows() || this.#ended || !patient) break;
      if (!leaving && this.#ready.length > 0) leaveSoon();
      await new Promise<void>((resolve) => {
        this.#wakeTaker = resolve;
      });
    }
    return this.#portion();
  }

  /** Ends the reading; the source is told. */
  close(): void {
    this.#ended = true;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#wakeReader();
    // not awaited: a source that waits for its own next input answers only when that has come
    void Promise.resolve()
      .then(() => this.#iterator.return?.())
      .catch(() => {});
  }

  #overflows(): boolean {
    return this.#ready.length > 1 && !this.#options.fits(this.#readyWeight, this.#ready.length);
  }

  #portion(): Portion<Item> {
    const { weigh, fits } = this.#options;
    let [count, weight] = [0, 0];
    for (const item of this.#ready) {
      const more = weight + weigh(item);
      if (count > 0 && !fits(more, count + 1)) break;
      count++;
      weight = more;
    }
    const items = this.#ready.slice(0, count);
    this.#ready = this.#ready.slice(count);
    this.#readyWeight -= weight;
    this.#wakeReader();
    const ended = this.#ended && count === 0;
    return { items, full: this.#ready.length > 0, ended, ...(ended && this.#failure && { failure: this.#failure }) };
  }

  async #read(prepare: (input: Input) => readonly Item[]): Promise<void> {
    try {
      while (!this.#ended) {
        const { done, value } = await this.#iterator.next();
        if (done || this.#ended) break;
        for (const item of prepare(value)) {
          this.#ready.push(item);
          this.#readyWeight += this.#options.weigh(item);
        }
        this.#wakeTaker();
        while (!this.#ended && this.#overflows()) {
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
        }
      }
    } catch (error) {
      this.#failure = { error };
    }
    this.#ended = true;
    this.#wakeTaker();
  }
}
