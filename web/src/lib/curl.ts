/** Commands that a person can paste into a shell. */

import type { Event } from '../api/types';

/** Where the API is, as `curl` wants it. */
export function origin(): string {
  return document.baseURI.replace(/[?#].*$/, '').replace(/[^/]*$/, '').replace(/\/$/, '');
}

/** `text` as one word of a shell. */
export function word(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The command that sends such an event. */
export function send(event: Pick<Event, 'event_type' | 'source' | 'data'>, base = origin()): string {
  const body = JSON.stringify({ event_type: event.event_type, source: event.source, data: event.data });
  return `curl ${word(`${base}/api/v1/events`)} -H 'Content-Type: application/json' \\\n  -d ${word(body)}`;
}

/** The command that asks for what a filter shows. */
export function ask(match: string, base = origin()): string {
  const filter = match ? ` --data-urlencode ${word(`match=${match}`)}` : '';
  return `curl -G ${word(`${base}/api/v1/events`)}${filter} -d limit=100`;
}
