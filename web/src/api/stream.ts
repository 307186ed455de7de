/**
 * The event stream, held open: whatever breaks it, it comes back with the number of the last event that it has seen,
 * so that nothing is lost and nothing comes twice.
 *
 * A source ends with its connection, and cannot tell a dead one from a silent one. So it is closed at the first error, after
 * a silence, or when the tab wakes up, and opened anew after a growing pause.
 *
 * In a crowd thousands of events come at once. So they wait in a line, and are taken in for some milliseconds at a time: in
 * between, the page is drawn and hears its user. When the line is too long, the stream is closed until it is done; the server
 * keeps the rest.
 */

import type { Event, PushNotice } from './types';

export type StreamState = 'connecting' | 'live' | 'lost';

export interface Reset {
  readonly reason: string;
  readonly missing?: number;
}

export interface Listener {
  /** One event, in the order of sequence numbers. */
  event(event: Event): void;
  state(state: StreamState): void;
  /** The stream is open behind `sequence`. */
  hello?(hello: { sequence: number; newest: number; version: string }): void;
  /** Something happened to a group of pushes; or so many of those were missed. */
  push?(notice: PushNotice | undefined, missed: number): void;
  /** It could not go on where it was: what is shown must be asked for anew. */
  reset?(reset: Reset): void;
}

/** What events come from: an `EventSource`, as far as it is used. */
export interface Source {
  addEventListener(name: string, listener: (event: { data?: string }) => void): void;
  close(): void;
}

export interface Clock {
  /** Milliseconds since some moment. */
  now(): number;
  /** Does it when the browser has done what waits. */
  soon(then: () => void): void;
  later(ms: number, then: () => void): () => void;
  random(): number;
}

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
/** How often somebody looks whether anything was heard since: two heartbeats of the server by default. */
const LOOK_MS = 30_000;

/** How long messages are taken in at a time. */
const SLICE_MS = 8;
/** Messages that wait. */
const LINE = 20_000;

/** Does it as soon as the browser has done what waits: a timer takes four milliseconds, and in a tab that nobody sees a second. */
export function soon(then: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    then();
  };
  port2.postMessage(undefined);
}

const browserClock: Clock = {
  now: () => performance.now(),
  soon,
  later(ms, then) {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

export class Stream {
  /** The sequence number to go on behind; unknown before the first answer. */
  #since: number | undefined;
  #source: Source | undefined;
  #attempts = 0;
  #stopTimer = () => {};
  #stopWatch = () => {};
  #heard = false;
  #closed = false;
  /** What has arrived and is not taken in yet, and how far that is. */
  #line: (() => void)[] = [];
  #at = 0;
  #working = false;
  /** Whether the line was too long: the stream is opened again when it is done. */
  #paused = false;

  constructor(
    private readonly open: (since: number | undefined) => Source,
    private readonly listener: Listener,
    since?: number,
    private readonly clock: Clock = browserClock,
  ) {
    this.#since = since;
    this.#connect();
  }

  get since(): number | undefined {
    return this.#since;
  }

  /** Ends it for good. */
  close(): void {
    this.#closed = true;
    this.#drop();
  }

  /** Connects at once, if it waits to: the network is back, or somebody looks. */
  hurry(): void {
    if (this.#closed || this.#source) return;
    this.#attempts = 0;
    this.#connect();
  }

  #connect(quietly = false): void {
    this.#drop();
    if (!quietly) this.listener.state(this.#attempts === 0 ? 'connecting' : 'lost');
    const source = this.open(this.#since);
    this.#source = source;
    this.#watch();
    const on = (name: string, then: (data: never) => void) =>
      source.addEventListener(name, ({ data }) => {
        if (this.#source !== source) return;
        this.#heard = true;
        this.#enqueue(() => then((data ? JSON.parse(data) : undefined) as never));
      });
    on('hello', (it: { sequence: number; newest: number; version: string }) => {
      this.#attempts = 0;
      this.#since ??= it.sequence;
      this.listener.state('live');
      this.listener.hello?.(it);
    });
    on('event', (event: Event) => {
      if (event.sequence <= (this.#since ?? 0)) return;
      this.#since = event.sequence;
      this.listener.event(event);
    });
    on('push', (it: PushNotice) => this.listener.push?.(it, 0));
    on('pushes_missed', ({ missed }: { missed: number }) => this.listener.push?.(undefined, missed));
    on('heartbeat', ({ sequence }: { sequence: number }) => this.#reached(sequence));
    on('reset', (it: Reset & { sequence: number }) => {
      this.#since = it.sequence;
      this.listener.reset?.(it);
    });
    on('close', ({ since }: { since: number }) => {
      this.#reached(since);
      this.#retry();
    });
    source.addEventListener('error', () => {
      if (this.#source === source) this.#retry();
    });
  }

  #enqueue(work: () => void): void {
    this.#line.push(work);
    if (this.#line.length - this.#at > LINE) {
      // What did not fit is sent again: the place to go on from moves only with what was taken in.
      this.#source?.close();
      this.#source = undefined;
      this.#paused = true;
    }
    if (this.#working) return;
    this.#working = true;
    this.clock.soon(() => this.#work());
  }

  #work(): void {
    const until = this.clock.now() + SLICE_MS;
    while (this.#at < this.#line.length) {
      const work = this.#line[this.#at];
      this.#at += 1;
      work?.();
      if (this.clock.now() >= until) break;
    }
    // What is done is let go of now and then, also when the line never ends.
    if (this.#at > LINE) [this.#line, this.#at] = [this.#line.slice(this.#at), 0];
    if (this.#at < this.#line.length) {
      this.clock.soon(() => this.#work());
      return;
    }
    this.#working = false;
    [this.#line, this.#at] = [[], 0];
    if (this.#paused && !this.#closed) this.#connect(true);
  }

  #reached(sequence: number): void {
    this.#since = Math.max(this.#since ?? 0, sequence);
  }

  #watch(): void {
    this.#heard = false;
    this.#stopWatch = this.clock.later(LOOK_MS, () => (this.#heard ? this.#watch() : this.#retry()));
  }

  #retry(): void {
    this.#drop();
    if (this.#closed) return;
    this.listener.state('lost');
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    // Tabs that were cut off together do not come back together.
    const pause = longest * (0.5 + this.clock.random() / 2);
    this.#stopTimer = this.clock.later(pause, () => this.#connect());
  }

  #drop(): void {
    this.#stopTimer();
    this.#stopWatch();
    this.#source?.close();
    this.#source = undefined;
    // It is sent again, or not wanted any more.
    [this.#line, this.#at, this.#paused] = [[], 0, false];
  }
}
