import { expect, test } from 'vitest';
import { messages } from '../../src/api/source';
import { Stream, type Clock, type Source, type StreamState } from '../../src/api/stream';
import type { Event } from '../../src/api/types';

/** A server that is told what to say, and a clock that is told when. */
function bench() {
  const opened: { since: number | undefined; say: (name: string, data?: unknown) => void; closed: boolean }[] = [];
  const timers: { at: number; then: () => void; stopped: boolean }[] = [];
  let now = 0;
  const clock: Clock = {
    later: (ms, then) => {
      const timer = { at: now + ms, then, stopped: false };
      timers.push(timer);
      return () => {
        timer.stopped = true;
      };
    },
    random: () => 1,
    now: () => busy,
    soon: (then) => (held ? void waiting.push(then) : then()),
  };
  /** How long the page has worked, and whether what is to be done soon waits for `turn`. */
  let busy = 0;
  let held = false;
  const waiting: (() => void)[] = [];
  const open = (since: number | undefined): Source => {
    const listeners = new Map<string, ((event: { data?: string }) => void)[]>();
    const one = {
      since,
      closed: false,
      say: (name: string, data?: unknown) =>
        listeners.get(name)?.forEach((it) => it(data === undefined ? {} : { data: JSON.stringify(data) })),
    };
    opened.push(one);
    return {
      addEventListener: (name, listener) => void listeners.set(name, [...(listeners.get(name) ?? []), listener]),
      close: () => {
        one.closed = true;
      },
    };
  };
  const heard: number[] = [];
  const states: StreamState[] = [];
  const resets: string[] = [];
  const stream = new Stream(
    open,
    {
      event: (it) => {
        heard.push(it.sequence);
        busy += 1;
      },
      state: (it) => void states.push(it),
      reset: (it) => void resets.push(it.reason),
    },
    undefined,
    clock,
  );
  const pass = (ms: number) => {
    const end = now + ms;
    for (;;) {
      const due = timers.filter((it) => !it.stopped && it.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      now = due.at;
      due.stopped = true;
      due.then();
    }
    now = end;
  };
  const hold = () => {
    held = true;
  };
  /** One turn of the page; whether there was something to do. */
  const turn = () => {
    const then = waiting.shift();
    then?.();
    return then !== undefined;
  };
  return { hold, turn, stream, opened, heard, states, resets, pass, last: () => opened.at(-1)! };
}

const event = (sequence: number) => ({ sequence }) as Event;
const hello = (sequence: number) => ({ sequence, newest: sequence, version: '1' });

test('goes on behind the last event after an error, and takes nothing twice', () => {
  const { opened, heard, pass, last } = bench();
  last().say('hello', hello(10));
  last().say('event', event(11));
  last().say('event', event(12));
  last().say('error');
  expect(last().closed).toBe(true);
  pass(1000);
  expect(opened.map((it) => it.since)).toEqual([undefined, 12]);
  last().say('hello', hello(12));
  last().say('event', event(12));
  last().say('event', event(13));
  expect(heard).toEqual([11, 12, 13]);
});

test('what a connection says that was given up is not heard', () => {
  const { opened, heard, pass } = bench();
  opened[0]!.say('hello', hello(1));
  opened[0]!.say('error');
  pass(1000);
  opened[0]!.say('event', event(2));
  expect(heard).toEqual([]);
});

test('heartbeats move the place to go on from', () => {
  const { opened, pass, last } = bench();
  last().say('hello', hello(5));
  last().say('heartbeat', { sequence: 900 });
  last().say('error');
  pass(1000);
  expect(opened[1]!.since).toBe(900);
});

test('pauses grow up to half a minute, and begin anew after success', () => {
  const { opened, pass, last } = bench();
  for (const [pause, count] of [[1000, 2], [2000, 3], [4000, 4], [8000, 5], [16_000, 6], [30_000, 7], [30_000, 8]] as const) {
    last().say('error');
    pass(pause - 1);
    expect(opened.length).toBe(count - 1);
    pass(1);
    expect(opened.length).toBe(count);
  }
  last().say('hello', hello(0));
  last().say('error');
  pass(1000);
  expect(opened.length).toBe(9);
});

test('a connection that is silent for a minute is dead', () => {
  const { opened, pass, last } = bench();
  last().say('hello', hello(0));
  for (let it = 0; it < 20; it += 1) {
    pass(15_000);
    last().say('heartbeat', { sequence: it });
  }
  expect(opened.length).toBe(1);
  pass(29_000);
  expect(opened.length).toBe(1);
  pass(32_000);
  expect(opened.length).toBe(2);
});

test('a stream that the server closes says from where to come back', () => {
  const { opened, pass, last } = bench();
  last().say('hello', hello(3));
  last().say('close', { reason: 'slow', since: 77 });
  pass(1000);
  expect(opened[1]!.since).toBe(77);
});

test('a reset moves the place, backwards too', () => {
  const { opened, resets, heard, pass, last } = bench();
  last().say('hello', hello(100));
  last().say('reset', { reason: 'ahead', sequence: 20, since: 100 });
  last().say('event', event(21));
  last().say('error');
  pass(1000);
  expect([resets, heard, opened[1]!.since]).toEqual([['ahead'], [21], 21]);
});

test('somebody who looks does not wait', () => {
  const { stream, opened, last, states } = bench();
  last().say('error');
  expect(states.at(-1)).toBe('lost');
  stream.hurry();
  expect(opened.length).toBe(2);
  stream.hurry();
  expect(opened.length).toBe(2);
  stream.close();
  last().say('error');
  stream.hurry();
  expect(opened.length).toBe(2);
});

test('a crowd of events is taken in a little at a time', () => {
  const { hold, turn, heard, last } = bench();
  last().say('hello', { sequence: 0, newest: 0, version: '1' });
  hold();
  for (let it = 1; it <= 100; it += 1) last().say('event', event(it));
  // What comes behind them is heard behind them.
  last().say('heartbeat', { sequence: 100 });
  expect(heard).toEqual([]);
  turn();
  expect(heard.length).toBeGreaterThan(0);
  expect(heard.length).toBeLessThan(20);
  while (turn());
  expect(heard).toEqual(Array.from({ length: 100 }, (_, it) => it + 1));
});

test('a line that is too long is worked off, and then goes on behind it', () => {
  const { hold, turn, heard, states, opened, last } = bench();
  last().say('hello', { sequence: 0, newest: 0, version: '1' });
  hold();
  for (let it = 1; it <= 25_000; it += 1) last().say('event', event(it));
  expect(opened[0]?.closed).toBe(true);
  while (turn());
  expect(opened.length).toBe(2);
  expect(last().since).toBe(heard.length);
  expect(heard.length).toBeGreaterThanOrEqual(20_000);
  for (let it = heard.length + 1; it <= 25_000; it += 1) last().say('event', event(it));
  while (turn());
  expect(heard).toEqual(Array.from({ length: 25_000 }, (_, it) => it + 1));
  expect(states).toEqual(['connecting', 'live']);
});

test('what waits when a stream breaks is sent again, and taken in once', () => {
  const { hold, turn, heard, pass, opened, last } = bench();
  last().say('hello', { sequence: 0, newest: 0, version: '1' });
  hold();
  for (let it = 1; it <= 30; it += 1) last().say('event', event(it));
  turn();
  const seen = heard.length;
  last().say('error');
  while (turn());
  expect(heard.length).toBe(seen);
  pass(2000);
  expect(opened.length).toBe(2);
  expect(last().since).toBe(seen);
  for (let it = seen + 1; it <= 30; it += 1) last().say('event', event(it));
  while (turn());
  expect(heard).toEqual(Array.from({ length: 30 }, (_, it) => it + 1));
});

test('pushes are told, and move no place', () => {
  const told: unknown[] = [];
  const listeners = new Map<string, (event: { data?: string }) => void>();
  const source = { addEventListener: (name: string, then: (event: { data?: string }) => void) => void listeners.set(name, then), close: () => {} };
  const clock: Clock = { later: () => () => {}, random: () => 1, now: () => 0, soon: (then) => then() };
  const stream = new Stream(() => source, { event: () => {}, state: () => {}, push: (it, missed) => void told.push([it?.change, missed]) }, 7, clock);
  listeners.get('push')?.({ data: '{"change":"pushed"}' });
  listeners.get('pushes_missed')?.({ data: '{"missed":3}' });
  expect(told).toEqual([['pushed', 0], [undefined, 3]]);
  expect(stream.since).toBe(7);
});

test('messages are read however the text is cut', () => {
  const text = 'retry: 2000\nid: 1\nevent: hello\ndata: {"a":1}\n\n: a comment\n\nevent: event\r\ndata: one\r\ndata: two\r\n\r\nid: 3\nevent: push\ndata:x\n\nevent: cut';
  const whole = [
    { event: 'hello', data: '{"a":1}' },
    { event: 'event', data: 'one\ntwo' },
    { event: 'push', data: 'x' },
  ];
  expect(messages(text)).toEqual({ messages: whole, rest: 'event: cut' });
  for (let at = 0; at <= text.length; at += 1) {
    const first = messages(text.slice(0, at));
    const second = messages(first.rest + text.slice(at));
    expect([...first.messages, ...second.messages], `cut at ${at}`).toEqual(whole);
  }
});
