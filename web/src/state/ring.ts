/** The newest so many of what came; older ones give way. */
export class Ring<T> {
  readonly #slots: (T | undefined)[];
  #pushed = 0;

  constructor(readonly capacity: number) {
    this.#slots = new Array<T | undefined>(capacity);
  }

  get length(): number {
    return Math.min(this.#pushed, this.capacity);
  }

  /** How many came since the last `clear`, those included that gave way. */
  get pushed(): number {
    return this.#pushed;
  }

  push(item: T): void {
    this.#slots[this.#pushed % this.capacity] = item;
    this.#pushed += 1;
  }

  /** All that are here, the newest first. */
  newestFirst(): T[] {
    const res: T[] = [];
    for (let at = this.#pushed - 1; at >= this.#pushed - this.length; at -= 1) {
      res.push(this.#slots[at % this.capacity] as T);
    }
    return res;
  }

  clear(): void {
    this.#slots.fill(undefined);
    this.#pushed = 0;
  }
}
