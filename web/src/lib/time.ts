/** Times and durations as people read them. Milliseconds unless a name says otherwise. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const two = (n: number) => String(n).padStart(2, '0');

/** `0.4 s`, `12 s`, `3m 05s`, `2h 14m`, `5d 03h`: a length of time that something took, in seconds. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 0.001) return '0 s';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return elapsed(seconds * 1000);
}

/** As `duration`, without fractions of a second: a length of time that goes on. */
export function elapsed(ms: number): string {
  const s = Math.max(0, Math.floor(ms / SECOND));
  if (s < 60) return `${s} s`;
  if (ms < HOUR) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (ms < DAY) return `${Math.floor(s / 3600)}h ${two(Math.floor(s / 60) % 60)}m`;
  return `${Math.floor(s / 86400)}d ${two(Math.floor(s / 3600) % 24)}h`;
}

/** `now`, `40 s ago`, `5m ago`, `3h ago`, `2d ago`. A time ahead of the clock is `now`. */
export function ago(then: number, now: number): string {
  const ms = now - then;
  if (ms < 2 * SECOND) return 'now';
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s ago`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)}m ago`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)}h ago`;
  return `${Math.floor(ms / DAY)}d ago`;
}

/** `14:03:27`, the viewer's own time of day. */
export function timeOfDay(ms: number): string {
  const it = new Date(ms);
  return `${two(it.getHours())}:${two(it.getMinutes())}:${two(it.getSeconds())}`;
}

/** `2026-01-05 14:03:27`, in the viewer's own zone. */
export function dateAndTime(ms: number): string {
  const it = new Date(ms);
  if (Number.isNaN(it.getTime())) return '–';
  return `${it.getFullYear()}-${two(it.getMonth() + 1)}-${two(it.getDate())} ${timeOfDay(ms)}`;
}

/** The start of the viewer's day. */
export function midnight(now: number): number {
  return new Date(now).setHours(0, 0, 0, 0);
}

/** Reads what the server wrote; 0 for what is no time. */
export function parse(text: string | null | undefined): number {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? 0 : ms;
}
