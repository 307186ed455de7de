/**
 * The list of the Events page: the newest events that match, more as they come, older ones as somebody scrolls.
 *
 * What is shown has no holes: it is a run of consecutive matches, and only its ends move.
 */

import { signal } from '@preact/signals';
import { get } from '../api/http';
import { openStream } from '../api/source';
import { Stream } from '../api/stream';
import type { Event, EventPage } from '../api/types';
import { follow, position, restarted } from './feed';
import { Ring } from './ring';

export interface Filter {
  /** A selector, or nothing. */
  readonly match: string;
  /** Where to begin, going back in time: an RFC 3339 time, or nothing for live. */
  readonly until: string;
}

const PAGE = 200;
/** So many rows stay while events come. */
const LIVE_ROWS = 5000;
/** So many rows can be looked at by scrolling. */
export const MOST_ROWS = 20_000;
/** What comes alone is shown almost at once; in a crowd, drawing costs more than anybody can read. */
const SHOW_MS = 20;
const SHOW_CROWD_MS = 250;
const CROWD = 50;

export class Tail {
  readonly rows = signal<readonly Event[]>([]);
  /** Events that came while the list was held. */
  readonly fresh = signal(0);
  readonly error = signal('');
  readonly loading = signal(true);
  /** Whether there is nothing older. */
  readonly ended = signal(false);

  #held = false;
  #begun = false;
  #pending = new Ring<Event>(LIVE_ROWS);
  #showNext = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort = new AbortController();
  #stop = () => {};
  /** The newest event that is shown or waits. */
  #top = 0;

  constructor(private readonly filter: Filter) {
    if (filter.until) void this.#begin();
    else if (filter.match) void this.#watch();
    else {
      const stops = [follow((it) => this.#take(it)), restarted.subscribe(() => this.#again())];
      this.#stop = () => stops.forEach((stop) => stop());
    }
  }

  close(): void {
    this.#abort.abort();
    clearTimeout(this.#timer);
    this.#stop();
  }

  /** Holds the list still, or lets it go on with what came meanwhile. */
  hold(held: boolean): void {
    if (this.#held === held) return;
    this.#held = held;
    if (!held) this.#show();
  }

  async older(): Promise<void> {
    const rows = this.rows.peek();
    const last = rows.at(-1);
    if (!last || this.loading.peek() || this.ended.peek() || rows.length >= MOST_ROWS) return;
    await this.#load({ before: last.sequence }, (page) => [...this.rows.peek(), ...page]);
  }

  /** A stream of its own: the server picks the events. */
  async #watch(): Promise<void> {
    const since = position();
    // What is wrong with the selector is said by the list: a stream does not say.
    if (!(await this.#begin()) || this.#abort.signal.aborted) return;
    const listener = {
      event: (it: Event) => this.#take(it),
      state: () => {},
      reset: () => this.#again(),
    };
    const stream = new Stream(openStream({ match: this.filter.match }), listener, since ?? this.#top);
    this.#stop = () => stream.close();
  }

  /** The journal is another one, or has lost what would come next. */
  #again(): void {
    this.#pending.clear();
    void this.#begin();
  }

  /** The newest page. What comes meanwhile waits for it. */
  async #begin(): Promise<boolean> {
    this.#begun = false;
    const good = await this.#load({}, (page) => page);
    this.#begun = true;
    if (!this.#held) this.#show();
    return good;
  }

  async #load(place: { before?: number }, join: (page: readonly Event[]) => readonly Event[]): Promise<boolean> {
    const { match, until } = this.filter;
    this.loading.value = true;
    try {
      const params = { match, until, limit: PAGE, ...place };
      const { events, next } = await get<EventPage>('api/v1/events', params, this.#abort.signal);
      this.rows.value = join(events);
      this.#top = this.rows.value[0]?.sequence ?? 0;
      this.ended.value = next === null;
      this.error.value = '';
      return true;
    } catch (error) {
      if (!this.#abort.signal.aborted) this.error.value = error instanceof Error ? error.message : String(error);
      return false;
    } finally {
      this.loading.value = false;
    }
  }

  #take(event: Event): void {
    this.#pending.push(event);
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        const pause = this.#pending.length > CROWD ? SHOW_CROWD_MS : SHOW_MS;
        this.#showNext = performance.now() + pause;
        if (this.#held) this.fresh.value = this.#pending.pushed;
        else this.#show();
      },
      Math.max(0, this.#showNext - performance.now()),
    );
  }

  #show(): void {
    if (!this.#begun) return;
    const overrun = this.#pending.pushed > this.#pending.length;
    const fresh = this.#pending.newestFirst().filter((it) => it.sequence > this.#top);
    this.#pending.clear();
    this.fresh.value = 0;
    if (fresh.length === 0) return;
    // If more came than is kept, what was shown before no longer joins on.
    const rows = overrun ? fresh : [...fresh, ...this.rows.peek()];
    if (rows.length > LIVE_ROWS || overrun) this.ended.value = false;
    this.rows.value = rows.slice(0, LIVE_ROWS);
    this.#top = fresh[0]?.sequence ?? this.#top;
  }
}
