/**
 * Server-sent events, read by `fetch`. A browser's `EventSource` makes an object of every event and hands out all that has
 * arrived in one task, which in a crowd keeps the page from being drawn; here a piece of text is read at a time.
 */

import { address } from './http';
import { soon, type Source } from './stream';

/** How the browser opens the stream of the events that `params` ask for. */
export function openStream(params: { match?: string; pushes?: string }): (since: number | undefined) => Source {
  return (since) => new TextSource(address('api/v1/stream', { ...params, since }));
}

type Listener = (event: { data?: string }) => void;

class TextSource implements Source {
  readonly #listeners = new Map<string, Listener>();
  readonly #abort = new AbortController();

  constructor(url: string) {
    void this.#read(url);
  }

  addEventListener(name: string, listener: Listener): void {
    this.#listeners.set(name, listener);
  }

  close(): void {
    this.#abort.abort();
  }

  async #read(url: string): Promise<void> {
    const { signal } = this.#abort;
    try {
      const init = { signal, headers: { Accept: 'text/event-stream' }, credentials: 'same-origin', cache: 'no-store' } as const;
      const { ok, body } = await fetch(url, init);
      const reader = ok ? body?.getReader() : undefined;
      const decoder = new TextDecoder();
      let rest = '';
      while (reader && !signal.aborted) {
        const { value, done } = await reader.read();
        if (done) break;
        const found = messages(rest + decoder.decode(value, { stream: true }));
        rest = found.rest;
        for (const { event, data } of found.messages) this.#listeners.get(event)?.({ data });
        // What is there already must not keep the page from what else it has to do.
        await new Promise<void>(soon);
      }
    } catch {
      // The network, the server, or whoever closed it: all the same here.
    }
    if (!signal.aborted) this.#listeners.get('error')?.({});
  }
}

/** The whole messages of a text, and what is left of it. */
export function messages(text: string): { messages: { event: string; data: string }[]; rest: string } {
  const parts = text.replaceAll('\r\n', '\n').split('\n\n');
  const rest = parts.pop() ?? '';
  return { messages: parts.map(message).filter((it) => it.data !== ''), rest };
}

function message(part: string): { event: string; data: string } {
  let event = 'message';
  const data: string[] = [];
  for (const line of part.split('\n')) {
    if (line.startsWith('event:')) event = line.slice(6).trim();
    else if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
  }
  return { event, data: data.join('\n') };
}
