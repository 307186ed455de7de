/** Requests to the server that the page came from, whatever prefix it has. */

import { signal } from '@preact/signals';

export type Params = Record<string, string | number | readonly string[] | undefined>;

/** Whether the server asks who is there. */
export const locked = signal(false);

/** What is wrong with one field of what was sent. */
export interface Fault {
  readonly field: string;
  readonly reason: string;
}

/** An answer that is an error, in the server's words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** What is wrong with which field. */
    readonly fields: readonly Fault[] = [],
  ) {
    super(message);
  }
}

/** The address of a path of the API, beside the page. Parameters without a value are left out. */
export function address(path: string, params: Params = {}, base: string = document.baseURI): string {
  const url = new URL(path, base.replace(/[?#].*$/, ''));
  for (const [name, value] of Object.entries(params)) {
    for (const it of Array.isArray(value) ? value : [value]) {
      if (it !== undefined && it !== '') url.searchParams.append(name, String(it));
    }
  }
  return url.href;
}

export async function request(method: string, path: string, params: Params = {}, init: RequestInit = {}) {
  const response = await fetch(address(path, params), { ...init, method, credentials: 'same-origin' });
  if (response.ok) return response;
  if (response.status === 401) locked.value = true;
  const body = await response.text();
  throw new ApiError(response.status, reason(response.status, body), faults(body));
}

/** Sends a JSON body, and reads the JSON of the answer. */
export async function send<T>(method: string, path: string, body?: unknown, params: Params = {}): Promise<T> {
  const init = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } };
  const text = await (await request(method, path, params, init)).text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export async function get<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
  const response = await request('GET', path, params, signal ? { signal } : {});
  return (await response.json()) as T;
}

/** The message of an error's body: the API's own JSON, or one line of text. */
export function reason(status: number, body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // No JSON: the paths of the Pushgateway answer in plain text, proxies in HTML.
  }
  return body && !body.includes('<') ? body.trim().slice(0, 500) : `the server answers ${status}`;
}

/** What an error's body says of single fields. */
export function faults(body: string): readonly Fault[] {
  try {
    const { fields } = JSON.parse(body) as { fields?: readonly Fault[] };
    return Array.isArray(fields) ? fields.filter((it) => typeof it?.field === 'string') : [];
  } catch {
    return [];
  }
}

/** What is thrown, in words. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
