/** Where the page is: `#/events?match=ci_*`. All that a colleague needs to see the same is in the address. */

import { computed, signal } from '@preact/signals';

export interface Route {
  readonly page: string;
  readonly params: URLSearchParams;
}

export function parseHash(hash: string): Route {
  const [path = '', query = ''] = split(hash.replace(/^#\/?/, ''));
  return { page: path || 'now', params: new URLSearchParams(query) };
}

/** The address of a page. Parameters without a value are left out. */
export function hashOf(page: string, params: Record<string, string | undefined> = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value) query.set(name, value);
  const text = query.toString();
  return `#/${page}${text ? `?${text}` : ''}`;
}

function split(text: string): [string, string] {
  const at = text.indexOf('?');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

const hash = signal(typeof location === 'undefined' ? '' : location.hash);

export const route = computed(() => parseHash(hash.value));

export function followAddress(): void {
  addEventListener('hashchange', () => {
    hash.value = location.hash;
  });
}

export function go(page: string, params: Record<string, string | undefined> = {}): void {
  location.hash = hashOf(page, params);
}

/** A parameter of the page that is shown, empty if it is not set. */
export function param(name: string): string {
  return route.value.params.get(name) ?? '';
}

/** Sets parameters of the page that is shown; Back leads to the page before, not through every change. */
export function setParams(changes: Record<string, string | undefined>): void {
  const params = { ...Object.fromEntries(route.peek().params), ...changes };
  history.replaceState(null, '', hashOf(route.peek().page, params));
  hash.value = location.hash;
}
