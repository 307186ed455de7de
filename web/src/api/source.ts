import { address } from './http';
import type { Source } from './stream';

/** How the browser opens the stream of the events that `params` ask for. */
export function openStream(params: { match?: string; pushes?: string }): (since: number | undefined) => Source {
  return (since) => new EventSource(address('api/v1/stream', { ...params, since })) as unknown as Source;
}
