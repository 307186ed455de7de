/**
 * The one stream that the whole page lives on, and what is made of it: the newest events, runs and agents. What
 * happened before the page was opened is asked for once; live events wait until it is here, so that each is taken in
 * once and in order.
 */

import { computed, signal } from '@preact/signals';
import { get } from '../api/http';
import { Stream, type StreamState } from '../api/stream';
import { openStream } from '../api/source';
import type { Event, EventPage } from '../api/types';
import { Agents } from './agents';
import { Lag } from './lag';
import { takePush } from './pushes';
import { Ring } from './ring';
import { RUN_TYPES, Runs } from './runs';
import { whoAmI } from './session';

/** How often what is shown follows what came: reading is not faster, and drawing costs. */
const SHOW_MS = 250;
const HISTORY = 1000;
const WAITING = 20_000;

export const connection = signal<StreamState>('connecting');
export const lagMs = signal<number | undefined>(undefined);
export const serverVersion = signal('');
/** Why the past could not be asked for. */
export const trouble = signal('');
/** Whether the past is here: before, nothing is known to be empty. */
export const ready = signal(false);
/** Changes at most four times a second, when events came. */
export const arrived = signal(0);
/** Changes when all that was asked for must be asked for anew. */
export const restarted = signal(0);

const runs = new Runs();
const agents = new Agents();
/** The newest events of all. */
export const newest = new Ring<Event>(2000);

const shown = computed(() => arrived.value + restarted.value);
export const allRuns = computed(() => (shown.value, runs.newestFirst()));
export const allAgents = computed(() => (shown.value, agents.all()));
export const allLinks = computed(() => (shown.value, agents.links()));

export type Follower = (event: Event) => void;
const followers = new Set<Follower>();

/** Has `follower` told of every event that comes from now on; the answer ends it. */
export function follow(follower: Follower): () => void {
  followers.add(follower);
  return () => followers.delete(follower);
}

const lag = new Lag();
let stream: Stream | undefined;
let waiting: Event[] | undefined;
let showing = false;
let version = '';

/** The newest event that the stream has come to. */
export const position = () => stream?.since;

/** Opens the stream; again after a login. */
export function connect(): void {
  stream?.close();
  let greeted = false;
  stream = new Stream(openStream({ pushes: 'true' }), {
    state: (it) => {
      connection.value = it;
      // A stream does not say why it was refused.
      if (it === 'lost') void whoAmI();
    },
    hello: (it) => {
      // Another version of the server has another page.
      if (version && version !== it.version) location.reload();
      version = it.version;
      serverVersion.value = it.version;
      if (!greeted) void load(it.sequence);
      greeted = true;
    },
    event: take,
    push: (notice, missed) => {
      takePush(notice, missed);
      show();
    },
    reset: ({ reason }) => {
      if (reason) void load(stream?.since ?? Infinity);
    },
  });
}

/** Connects at once when somebody looks, or the network is back. */
export function stayConnected(): void {
  addEventListener('online', () => stream?.hurry());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') stream?.hurry();
  });
}

function take(event: Event): void {
  lag.observe(Date.parse(event.received_at), Date.now());
  if (waiting && waiting.length < WAITING) waiting.push(event);
  else if (waiting) release();
  if (!waiting) taken(event);
}

/** Takes in what waited for the past: it is here, or does not come in time. */
function release(): void {
  const held = waiting ?? [];
  waiting = undefined;
  held.forEach(taken);
  ready.value = true;
}

function taken(event: Event): void {
  fold(event);
  newest.push(event);
  for (const it of followers) it(event);
  show();
}

function fold(event: Event): void {
  if (!runs.take(event)) agents.take(event);
}

function show(): void {
  if (showing) return;
  showing = true;
  setTimeout(() => {
    showing = false;
    lagMs.value = lag.ms;
    arrived.value += 1;
  }, SHOW_MS);
}

/** Asks for what happened up to `sequence`. */
async function load(sequence: number): Promise<void> {
  waiting ??= [];
  try {
    const before = sequence + 1 < Number.MAX_SAFE_INTEGER ? { before: sequence + 1 } : {};
    const [past, ofRuns, registered, ofAgents] = await Promise.all([
      get<EventPage>('api/v1/events', { limit: 200, ...before }),
      get<EventPage>('api/v1/events', { type: RUN_TYPES, limit: HISTORY, ...before }),
      // Agents say what they are when they come, which may be long ago.
      get<EventPage>('api/v1/events', { type: 'agent_registered', limit: HISTORY / 2, ...before }),
      get<EventPage>('api/v1/events', { match: 'agent_*', limit: HISTORY, ...before }),
    ]);
    if (!waiting) return;
    runs.clear();
    agents.clear();
    newest.clear();
    for (const it of [...ofRuns.events].reverse()) runs.take(it);
    const oldest = ofAgents.events.at(-1)?.sequence ?? 0;
    const earlier = registered.events.filter((it) => it.sequence < oldest);
    for (const it of [...ofAgents.events, ...earlier].reverse()) agents.take(it);
    for (const it of [...past.events].reverse()) newest.push(it);
    trouble.value = '';
    restarted.value += 1;
  } catch (error) {
    trouble.value = error instanceof Error ? error.message : String(error);
    setTimeout(() => void load(sequence), 5000);
    return;
  }
  release();
}
