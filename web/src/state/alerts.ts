/** Alerts, live: all that is pending or fires, and each change as it happens. */

import { computed, signal } from '@preact/signals';
import type { Alert, AlertPage, Severity } from '../api/alerting';
import { SEVERITIES } from '../api/alerting';
import { address, get, words } from '../api/http';
import { parse } from '../lib/time';
import { connection } from './feed';

/** `undefined` before the first answer. */
export const alerts = signal<readonly Alert[] | undefined>(undefined);
export const alertTrouble = signal('');
/** Changes whenever something happened to an alert: what is shown of its past is to be asked for anew. */
export const alertsMoved = signal(0);

/** What fires, silenced or not, the worst first. */
export const firing = computed(() => (alerts.value ?? []).filter((it) => it.status !== 'pending'));
/** What nobody has taken on, and no silence covers. */
export const loud = computed(() => firing.value.filter((it) => it.status === 'active'));

const SHOW_MS = 50;
const LOOK_MS = 45_000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

interface Message {
  readonly type?: string;
  readonly data?: Alert | readonly Alert[];
}

export class AlertBook {
  readonly #alerts = new Map<string, Alert>();

  /** Takes in a message of the socket; whether it said something of alerts. */
  take(message: Message): boolean {
    const { type, data } = message;
    if (type === 'alerts' && Array.isArray(data)) {
      this.#alerts.clear();
      for (const it of data as readonly Alert[]) this.#alerts.set(it.id, it);
    } else if (type === 'alert' && data) {
      const it = data as Alert;
      // What was pending and did not fire is sent as it was; the change says that it is over.
      const over = it.status === 'resolved' || (message as { change?: string }).change === 'dropped';
      if (over) this.#alerts.delete(it.id);
      else this.#alerts.set(it.id, it);
    } else return false;
    return true;
  }

  /** What fires first, what is pending last; of those the worst, and the newest. */
  all(): Alert[] {
    return [...this.#alerts.values()].sort((a, b) => Number(a.status === 'pending') - Number(b.status === 'pending') || rank(a.severity) - rank(b.severity) || parse(b.starts_at) - parse(a.starts_at));
  }
}

function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}

const book = new AlertBook();
let socket: WebSocket | undefined;
let attempts = 0;
let retry: ReturnType<typeof setTimeout> | undefined;
let watch: ReturnType<typeof setTimeout> | undefined;
let showing = false;

/** Holds the socket open while the event stream is: that knows whether the server is there, and lets the page in. */
export function followAlerts(): void {
  connection.subscribe((it) => {
    if (it === 'live' && socket?.readyState !== WebSocket.OPEN) open();
  });
}

function open(): void {
  clearTimeout(retry);
  clearTimeout(watch);
  socket?.close();
  const made = new WebSocket(address('api/v1/monitoring/ws/alerts').replace(/^http/, 'ws'));
  socket = made;
  const heard = () => {
    clearTimeout(watch);
    // A dead connection says nothing, not even that it is.
    watch = setTimeout(() => made.close(), LOOK_MS);
  };
  heard();
  made.onmessage = ({ data }) => {
    if (socket !== made) return;
    heard();
    attempts = 0;
    if (book.take(JSON.parse(String(data)) as Message)) show();
  };
  made.onclose = () => {
    if (socket === made) again();
  };
}

function again(): void {
  socket = undefined;
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempts);
  attempts += 1;
  clearTimeout(watch);
  retry = setTimeout(
    () => {
      if (connection.peek() !== 'live') return;
      void poll();
      open();
    },
    longest * (0.5 + Math.random() / 2),
  );
}

/** What there is now, while there is no socket; and why there is none. */
async function poll(): Promise<void> {
  try {
    const { alerts: data } = await get<AlertPage>('api/v1/monitoring/alerts', { limit: 1000 });
    book.take({ type: 'alerts', data });
    alertTrouble.value = '';
    show();
  } catch (error) {
    // The badge says that the server is away.
    alertTrouble.value = error instanceof TypeError ? '' : words(error);
  }
}

function show(): void {
  if (showing) return;
  showing = true;
  setTimeout(() => {
    showing = false;
    alertTrouble.value = '';
    alerts.value = book.all();
    alertsMoved.value += 1;
  }, SHOW_MS);
}
