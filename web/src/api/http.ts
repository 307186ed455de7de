/** Requests to the server that the page came from, whatever prefix it has. */

import { signal } from '@preact/signals';

export type Params = Record<string, string | number | readonly string[] | undefined>;

/** Whether the server asks who is there. */
export const locked = signal(false);

/** An answer that is an error, in the server's words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
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
  throw new ApiError(response.status, reason(response.status, await response.text()));
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
