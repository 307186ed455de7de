/** What senders call differently, under one name: the same choices as the built-in rules make. */

import type { Event } from '../api/types';

export type Result = 'success' | 'failure' | 'cancelled' | 'other';

/** The first of `names` that the data has, as text; empty if none is there. */
export function text(event: Event, ...names: string[]): string {
  for (const name of names) {
    const it = event.data[name];
    if (typeof it === 'string' && it !== '') return it;
    if (typeof it === 'number' || typeof it === 'boolean') return String(it);
  }
  return '';
}

/** As `text`, as a number; also numbers that were sent as text. */
export function number(event: Event, ...names: string[]): number | undefined {
  const it = text(event, ...names);
  const value = Number(it);
  return it === '' || Number.isNaN(value) ? undefined : value;
}

export const project = (it: Event) => text(it, 'project', 'repository', 'repo');
export const service = (it: Event) => text(it, 'service', 'project', 'repository');
export const agent = (it: Event) => text(it, 'agent_id', 'agent');

export function seconds(event: Event): number | undefined {
  const ms = number(event, 'duration_ms');
  return number(event, 'duration_seconds') ?? (ms === undefined ? undefined : ms / 1000);
}

export function result(status: string): Result {
  const it = status.toLowerCase();
  if (/^(succe.*|pass|passed|ok|green|true)$/.test(it)) return 'success';
  if (/^(fail.*|error.*|broken|red|false)$/.test(it)) return 'failure';
  if (/^(cancel|abort|skip)/.test(it)) return 'cancelled';
  return 'other';
}
