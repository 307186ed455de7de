import type { Event, Json } from '../../src/api/types';

let sequence = 0;

/** An event as the server shows it, `seconds` after ten o'clock. */
export function event(type: string, data: Record<string, Json>, seconds = 0): Event {
  sequence += 1;
  const timestamp = new Date(Date.UTC(2026, 0, 5, 10) + seconds * 1000).toISOString();
  return { id: `e${sequence}`, event_type: type, source: 'test', subject: null, timestamp, received_at: timestamp, sequence, data };
}

export const TEN = Date.UTC(2026, 0, 5, 10);
