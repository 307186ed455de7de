/**
 * How late events are here, by the server's times of arrival. The two clocks may disagree: if the least delay is no
 * plausible one, it is taken for the difference of the clocks.
 */
export class Lag {
  #least = Infinity;
  #smooth: number | undefined;

  observe(receivedAt: number, now: number): void {
    const delay = now - receivedAt;
    this.#least = Math.min(this.#least, delay);
    const lag = delay - this.#offset();
    this.#smooth = this.#smooth === undefined ? lag : this.#smooth + 0.2 * (lag - this.#smooth);
  }

  /** Milliseconds; `undefined` before the first event. */
  get ms(): number | undefined {
    return this.#smooth === undefined ? undefined : Math.max(0, Math.round(this.#smooth));
  }

  #offset(): number {
    return this.#least < 0 || this.#least > 2000 ? this.#least : 0;
  }
}
